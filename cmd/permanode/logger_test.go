package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
)

// stackError prints its stack where %+v asks for it, as slog does. Pebble's errors are like that.
type stackError struct{}

func (stackError) Error() string                 { return "no space" }
func (stackError) Format(s fmt.State, verb rune) { _, _ = io.WriteString(s, "no space\nstack trace") }

func TestLogHasNoStacks(t *testing.T) {
	var out bytes.Buffer
	(&program{errs: &out}).logger(slog.LevelWarn).Warn("it failed", "err", stackError{})
	if text := out.String(); !strings.Contains(text, `err="no space"`) || strings.Contains(text, "stack") {
		t.Fatalf("the log says %q", text)
	}
}
