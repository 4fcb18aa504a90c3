package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"permanode/internal/race"
)

// strangersSeed makes the requests of schemathesis the same each time; another one is taken from PERMANODE_SEED.
const strangersSeed = "20261126"

// A stranger that knows the API from its description alone finds no answer that is not described: schemathesis asks a
// service with two networks of different eras, with valid and invalid requests, and follows what it gets. All of its
// checks are on; tools/schemathesis.toml says what a schema cannot.
func TestSchemathesis(t *testing.T) {
	program := outside(t, "python", "bin", "schemathesis")
	if race.Enabled {
		t.Skip("the race detector has the requests of the other tests; this one is about answers")
	}
	seed, cases := strangersSeed, "25"
	if other := os.Getenv("PERMANODE_SEED"); other != "" {
		seed = other
	}
	if os.Getenv("PERMANODE_TORTURE") != "" {
		cases = "1000"
	}
	rules, err := filepath.Abs(filepath.Join("..", "..", "tools", "schemathesis.toml"))
	if err != nil {
		t.Fatal(err)
	}
	s := recordedService(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, program, "--config-file", rules, "run", s.api+"/v1/openapi.yaml", "--url", s.api, "--seed", seed,
		"--max-examples", cases, "--phases", "examples,coverage,fuzzing,stateful", "--generation-database", "none", "--no-color")
	c.Dir = t.TempDir()
	out, err := c.CombinedOutput()
	t.Logf("seed %s, %s", seed, regexp.MustCompile(`[0-9]+ generated.*`).FindString(string(out)))
	if err != nil {
		t.Errorf("schemathesis: %v\n%s", err, out)
	}
	s.end(t, syscall.SIGTERM)
	if said := s.text(); strings.Contains(said, "panic") || strings.Contains(said, "request failed") {
		t.Errorf("the service logged\n%s", said)
	}
}

// The description is one that a public validator takes.
func TestDescriptionIsOpenAPI(t *testing.T) {
	program := outside(t, "python", "bin", "openapi-spec-validator")
	if out, err := exec.CommandContext(t.Context(), program, filepath.Join("..", "..", "query", "api", "openapi.yaml")).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
