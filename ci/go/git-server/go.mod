module ci/git-server

go 1.24
