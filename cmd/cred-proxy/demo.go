package main
func (p *program) demo(args []string) int { return 0 }
