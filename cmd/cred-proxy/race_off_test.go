//go:build !race

package main

// raceDetector says whether the program under test is slowed down by it.
const raceDetector = false
