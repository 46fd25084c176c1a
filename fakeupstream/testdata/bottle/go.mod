module example.test/bottle

go 1.26

require credproxy v0.0.0

replace credproxy => ../../..
