//go:build !linux

package admin

// ofTheProcess is empty where there is no /proc.
var ofTheProcess []processFigure
