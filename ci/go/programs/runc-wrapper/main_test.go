package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

func TestDocument(t *testing.T) {
	for _, test := range []struct {
		name  string
		args  []string
		path  string
		whole bool
	}{
		{"create", []string{"--root", "/run", "create", "--bundle", "/b", "--pid-file", "/p", "id"}, "/b/config.json", true},
		{"joined", []string{"run", "--bundle=/b", "id"}, "/b/config.json", true},
		{"short", []string{"create", "-b", "/b", "id"}, "/b/config.json", true},
		{"no bundle", []string{"create", "id"}, "config.json", true},
		{"exec", []string{"--log", "/l", "exec", "--process", "/tmp/p", "--detach", "id"}, "/tmp/p", false},
		{"an id named like a command", []string{"delete", "create"}, "", false},
		{"state", []string{"state", "id"}, "", false},
	} {
		path, whole := document(test.args)
		if path != test.path || whole != test.whole {
			t.Errorf("%s: %q, %v", test.name, path, whole)
		}
	}
}

func TestRewrite(t *testing.T) {
	const process = `{"capabilities":{"bounding":["CAP_CHOWN","CAP_SYS_RESOURCE"],"ambient":[]},"big":18446744073709551615}`
	const expected = `{"big":18446744073709551615,"capabilities":{"ambient":[],"bounding":["CAP_CHOWN"]}}`
	for _, whole := range []bool{true, false} {
		before, after := process, expected
		if whole {
			before, after = `{"process":`+process+`}`, `{"process":`+expected+`}`
		}
		path := filepath.Join(t.TempDir(), "config.json")
		if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := rewrite(path, whole); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || !json.Valid(got) || string(got) != after {
			t.Errorf("%s, %v", got, err)
		}
	}
}
