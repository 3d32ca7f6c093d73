// Command runc-wrapper runs containers on a host that lacks CAP_SYS_RESOURCE.
//
// A capability that is missing from the bounding set of the host cannot be given to a container: runc ends with "unable
// to apply caps" for every privileged container. The wrapper takes that one capability out of the OCI documents runc is
// about to read, then becomes runc.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const missing = "CAP_SYS_RESOURCE"

// The places of the real runc. The wrapper itself stands before them on the PATH of a node.
var realRunc = []string{"/usr/sbin/runc", "/usr/bin/runc"}

// The commands of runc; the first of them on a command line is the one to run.
const commands = " checkpoint create delete events exec features kill list pause ps restore resume run spec start state update "

// document returns the file runc takes its process from, and whether that file is a whole OCI configuration.
func document(args []string) (path string, whole bool) {
	bundle, process, command := ".", "", ""
	for i, arg := range args {
		name, value, joined := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if !joined && i+1 < len(args) {
			value = args[i+1]
		}
		switch {
		case command == "" && strings.Contains(commands, " "+arg+" "):
			command = arg
		case arg == "-b" || (strings.HasPrefix(arg, "-") && name == "bundle"):
			bundle = value
		case arg == "-p" || (strings.HasPrefix(arg, "-") && name == "process"):
			process = value
		}
	}
	switch command {
	case "create", "run", "restore":
		return filepath.Join(bundle, "config.json"), true
	case "exec":
		return process, false
	}
	return "", false
}

// dropCapability removes the capability from every set of an OCI process; it reports whether anything changed.
func dropCapability(process map[string]any) bool {
	capabilities, _ := process["capabilities"].(map[string]any)
	changed := false
	for set, value := range capabilities {
		names, _ := value.([]any)
		kept := make([]any, 0, len(names))
		for _, name := range names {
			if name != missing {
				kept = append(kept, name)
			}
		}
		if len(kept) != len(names) {
			capabilities[set] = kept
			changed = true
		}
	}
	return changed
}

func rewrite(path string, whole bool) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	// Numbers stay as written: device ids and limits do not fit a float64.
	decoder := json.NewDecoder(strings.NewReader(string(content)))
	decoder.UseNumber()
	var document map[string]any
	if err := decoder.Decode(&document); err != nil {
		return err
	}
	process := document
	if whole {
		process, _ = document["process"].(map[string]any)
	}
	if !dropCapability(process) {
		return nil
	}
	content, err = json.Marshal(document)
	if err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o600)
}

func main() {
	if path, whole := document(os.Args[1:]); path != "" {
		// A document that cannot be read is runc's to complain about, in its own words.
		if err := rewrite(path, whole); err != nil {
			fmt.Fprintln(os.Stderr, "runc-wrapper:", err)
		}
	}
	for _, runc := range realRunc {
		if _, err := os.Stat(runc); err == nil {
			err = syscall.Exec(runc, append([]string{"runc"}, os.Args[1:]...), os.Environ())
			fmt.Fprintln(os.Stderr, "runc-wrapper:", err)
			os.Exit(1)
		}
	}
	fmt.Fprintln(os.Stderr, "runc-wrapper: no runc in", strings.Join(realRunc, ", "))
	os.Exit(1)
}
