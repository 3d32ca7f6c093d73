// Command argo-cd is what of Argo CD syncs: its application controller and its repository server, whichever its first
// argument names. What people look at it with, and sign in to, is left out.
package main

import (
	"fmt"
	"os"

	controller "github.com/argoproj/argo-cd/v2/cmd/argocd-application-controller/commands"
	repository "github.com/argoproj/argo-cd/v2/cmd/argocd-repo-server/commands"
	"github.com/spf13/cobra"
)

func main() {
	commands := []*cobra.Command{controller.NewCommand(), repository.NewCommand()}
	for _, command := range commands {
		if len(os.Args) > 1 && os.Args[1] == command.Name() {
			command.SetArgs(os.Args[2:])
			if command.Execute() != nil {
				os.Exit(1)
			}
			return
		}
	}
	fmt.Fprintf(os.Stderr, "usage: argo-cd %s|%s [flags]\n", commands[0].Name(), commands[1].Name())
	os.Exit(2)
}
