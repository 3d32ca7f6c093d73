module ci/programs

go 1.24
