package fakeupstream

type gitRepos struct{}

func (*gitRepos) remove() {}

var gitBuiltins []builtin
