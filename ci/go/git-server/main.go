// Command git-server serves Git repositories over HTTP, for reading and for writing, to whoever asks. It is for tests: it
// knows no users. Its arguments are the names of the repositories; those that are not there are made, with a branch main.
package main

import (
	"flag"
	"log"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
)

func main() {
	address := flag.String("listen", ":8080", "where to listen")
	root := flag.String("root", "/srv/git", "the directory of the repositories")
	flag.Parse()
	git, err := exec.LookPath("git")
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range flag.Args() {
		if err := makeRepository(git, filepath.Join(*root, name)); err != nil {
			log.Fatal(err)
		}
	}
	backend := &cgi.Handler{
		Path: git,
		Args: []string{"http-backend"},
		Env:  []string{"GIT_PROJECT_ROOT=" + *root, "GIT_HTTP_EXPORT_ALL=1"},
	}
	log.Printf("serving %s on %s", *root, *address)
	log.Fatal(http.ListenAndServe(*address, backend))
}

func makeRepository(git, path string) error {
	commands := [][]string{
		{"init", "--quiet", "--bare", "--initial-branch=main", path},
		{"-C", path, "config", "http.receivepack", "true"},
	}
	for _, arguments := range commands {
		command := exec.Command(git, arguments...)
		command.Stderr = os.Stderr
		if err := command.Run(); err != nil {
			return err
		}
	}
	return nil
}
