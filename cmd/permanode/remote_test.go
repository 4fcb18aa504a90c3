package main

import (
	"bytes"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"permanode/internal/race"
	"permanode/internal/replay"
	"permanode/ledger/eras"
	"permanode/query"
	"permanode/query/api"
)

// archiveOf is an archive in a directory, and a service over a copy of it.
type archiveOf struct{ data, server string }

// outcome is what a command did.
type outcome struct {
	status    int
	out, errs string
}

func run(args ...string) outcome {
	var out, errs bytes.Buffer
	status := (&program{out: &out, errs: &errs}).run(args)
	return outcome{status, out.String(), errs.String()}
}

// filled makes an archive by ingesting, each time with the arguments given beside --data, and serves a copy of it.
// indexed: the service has the index too.
func filled(t *testing.T, indexed bool, ingests ...[]string) archiveOf {
	t.Helper()
	a := archiveOf{data: filepath.Join(t.TempDir(), "data")}
	for _, args := range ingests {
		a.ingest(t, args)
	}
	a.serve(t, indexed)
	return a
}

// ingest adds to the archive; a gap may be left.
func (a *archiveOf) ingest(t *testing.T, args []string) {
	t.Helper()
	if got := run(append([]string{"ingest", "--data", a.data}, args...)...); got.status != 0 && got.status != 4 {
		t.Fatalf("ingest %v: exit %d: %s", args, got.status, got.errs)
	}
}

func (a *archiveOf) serve(t *testing.T, indexed bool) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(dir, os.DirFS(a.data)); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	db, err := (&program{errs: io.Discard}).open(dir, minMemory, true, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	archive := query.New(db, eras.Codec)
	if indexed {
		x, err := openIndex(dir, db, minMemory, true, log)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = x.Close() })
		archive.UseIndex(x)
	}
	srv := httptest.NewServer(api.Handler(api.Config{Archive: archive, Version: version, Log: log}))
	t.Cleanup(srv.Close)
	a.server = srv.URL
}

// sameLines are the commands that are asked of every archive; in @NAME stands what the archive has of that. Of
// those with ~ the words of an error may differ: the two see another thing first.
var sameLines = []string{
	"status", "status --json", "coverage", "coverage --json",
	"coverage --network @NETWORK --json", "coverage --network nosuch", "coverage --network Bad/Name", "status --network nosuch",
	"status --network @NETWORK",
	"get @RECORD", "get @RECORD --json", "get @RECORD --raw", "get @RECORD --format json", "get @RECORD --network @NETWORK --json",
	"get @RECORD --network nosuch", "get @RECORD --raw --json", "get @RECORD --format xml",
	"get @UNIT", "get @UNIT --json", "get @UNIT --raw", "get @UNIT --format json",
	"get @ADDRESS", "get @ADDRESS --json", "get @ADDRESS --raw",
	"get @ABSENT", "get @ABSENT --json", "get @ABSENT --raw --network @NETWORK",
	"get nonsense", "~get |", "~get ../../livez", "~get .", "~get ä", "get a b",
	"search @WORD", "search @WORD --json", "search @WORD --all --json", "search @WORD --order oldest --limit 3",
	"search @WORD --limit 7 --json --facets kind,state,day", "search @WORD --limit 2 --facets tag,type,event,function",
	"search @TAG --all", "search @TAG --json --limit 1500", "search @TAG --network @NETWORK --limit 1", "search @RECORD", "search @ADDRESS --all --json",
	"search | --limit 3 --json", "search | --all --json", "search | --order oldest --limit 4", "search unit:2..3 --all", "search kind:unit --all --json",
	"search @TAG --explain", "search @WORD --explain --network @NETWORK", "search zzzunknownzzz", "search @WORD --network nosuch",
	"search tagg:x", "search (", "~search @WORD --cursor nonsense", "search @WORD --limit 0", "search @WORD --order random", "~search @WORD --facets colour", "search",
	"export", "export --format csv", "export --network @NETWORK", "export --network nosuch", "export @TAG", "export @TAG --format csv", "export @WORD",
	"export @WORD --format csv", "export @ADDRESS", "export |", "export zzzunknownzzz", "export zzzunknownzzz --format csv", "export tagg:x", "export --format xml",
	"export --after @PLACE", "export --after @PLACE --format csv", "export @TAG --after @PLACE", "~export --after nonsense", "~export --after nosuch/1/1", "~export --after @BEYOND", "export @TAG -o @FILE",
	"~export -o @NODIR/x",
	"payload get @PAYLOAD", "payload get @PAYLOAD --network @NETWORK", "payload get @PAYLOAD --network nosuch", "payload get @PAYLOAD -o @FILE",
	"payload get abababababababababababababababababababababababababababababababab", "payload get nonsense", "payload get @RECORD", "~payload get |",
	"payload get bafybeidjogjfwuhbzwopgd4bn3skcf5m6oz72xshywcndzxgqb623nfclu",
}

// words of a line, with what stands for the archive; | is an empty word.
func (a *archiveOf) words(t *testing.T, line string, has map[string]string) []string {
	words := strings.Fields(line)
	for i, w := range words {
		switch {
		case w == "|":
			words[i] = ""
		case !strings.HasPrefix(w, "@"):
		case w == "@FILE", w == "@NODIR/x":
			words[i] = filepath.Join(t.TempDir(), w)
		default:
			words[i] = has[w[1:]]
		}
	}
	return words
}

// said makes what the two say on standard error comparable. An error of a service says its hint in its own sentence, and
// not always what else could be done with a directory; numbers of progress are of the moment.
func said(errs string) string {
	var kept []string
	for line := range strings.Lines(errs) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "hint: ") || strings.HasPrefix(line, "warning: ") {
			continue
		}
		kept = append(kept, line)
	}
	return strings.Join(kept, "\n")
}

// TestServerAnswersAsDirectory runs each command on a directory and on a service over a copy of it: the same bytes, the
// same exit status, and the same words, but for how the hint is said.
func TestServerAnswersAsDirectory(t *testing.T) {
	for name, world := range worlds(t) {
		if race.Enabled && name != "a gap" {
			continue // the others would find nothing more
		}
		t.Run(name, func(t *testing.T) {
			a := world.make(t)
			for _, line := range world.lines() {
				line, free := strings.CutPrefix(line, "~")
				words := a.words(t, line, world.has)
				own := run(append(words, "--data", a.data)...)
				asked := run(append(a.words(t, line, world.has), "--server", a.server)...)
				if own.status != asked.status || own.out != asked.out {
					t.Errorf("%s\n own   %d %s\n%s asked %d %s\n%s", line, own.status, cutAt(own.out, asked.out), own.errs, asked.status, cutAt(asked.out, own.out), asked.errs)
					continue
				}
				if !free {
					sameWords(t, line, said(own.errs), said(asked.errs))
				}
				if own.status != 0 && !strings.Contains(asked.errs, "error: ") {
					t.Errorf("%s: exit %d without a word", line, asked.status)
				}
			}
		})
	}
}

// sameWords compares what was said: line by line, where an error of a service may go on with the hint.
func sameWords(t *testing.T, line, own, asked string) {
	t.Helper()
	a, b := strings.Split(own, "\n"), strings.Split(asked, "\n")
	same := len(a) == len(b)
	for i := range min(len(a), len(b)) {
		same = same && strings.HasPrefix(b[i], a[i])
	}
	if !same {
		t.Errorf("%s\n own   said %s\n asked said %s", line, own, asked)
	}
}

// cutAt returns s from a little before the first place where it differs from other.
func cutAt(s, other string) string {
	at := 0
	for at < min(len(s), len(other)) && s[at] == other[at] {
		at++
	}
	s = s[max(0, at-100):]
	return s[:min(len(s), 400)]
}

type world struct {
	make func(*testing.T) archiveOf
	has  map[string]string
	more []string // command lines of this one alone
	only string   // of the others those that have one of these words; "": all
}

func (w *world) lines() []string {
	lines := slices.Clone(w.more)
	for _, line := range sameLines {
		if w.only == "" || slices.ContainsFunc(strings.Fields(w.only), func(word string) bool { return strings.Contains(line, word) }) {
			lines = append(lines, line)
		}
	}
	return lines
}

func worlds(t *testing.T) map[string]world {
	rec := recordings(t)
	one, two := filepath.Join(rec, "stardust"), filepath.Join(rec, "stardust-migration")
	has := map[string]string{
		"NETWORK": "permanode-capture-1", "RECORD": block, "UNIT": unit, "TAG": "tag:INVOICE", "WORD": "battery", "PLACE": "permanode-capture-1/57/25", "BEYOND": "permanode-capture-1/4711/0",
		"ABSENT": "0x" + strings.Repeat("0", 62) + "ff", "ADDRESS": transaction,
		"PAYLOAD": "a3ac232cf1d41d72801bb5e030ec7b4589532970ba2e99cff6a94474a631d28e",
	}
	from := func(dir string) []string { return []string{"--trust", filepath.Join(dir, "trust.json"), "--from", dir} }
	return map[string]world{
		"two networks": {has: has, make: func(t *testing.T) archiveOf { return filled(t, true, from(one), from(two)) }},
		"no index": {has: has, make: func(t *testing.T) archiveOf {
			t.Setenv("PERMANODE_INDEX_TEXT", "false")
			return filled(t, false, from(one))
		}},
		"a gap": {has: has, make: func(t *testing.T) archiveOf { return filled(t, true, holed(t, one)) }},
		"index behind": {has: has, only: "status WORD zzz |", more: []string{"search @WORD unit:1..20 --json --all"}, make: func(t *testing.T) archiveOf {
			a := archiveOf{data: filepath.Join(t.TempDir(), "data")}
			a.ingest(t, holed(t, one))
			t.Setenv("PERMANODE_INDEX_TEXT", "false")
			a.ingest(t, from(one))
			if err := os.Unsetenv("PERMANODE_INDEX_TEXT"); err != nil {
				t.Fatal(err)
			}
			a.serve(t, true)
			return a
		}},
		"objects": {has: onObjects, more: objectLines, make: func(t *testing.T) archiveOf {
			return filled(t, true, []string{"--trust", objectsTrust(t), "--from", chainFolder(t)})
		}},
		"objects with a gap": {has: onObjects, more: objectLines, make: func(t *testing.T) archiveOf {
			part := t.TempDir()
			for _, name := range []string{"0.chk", "1.chk", "3.chk", "4.chk"} {
				raw, err := os.ReadFile(filepath.Join(chainFolder(t), name))
				if err == nil {
					err = os.WriteFile(filepath.Join(part, name), raw, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			return filled(t, true, []string{"--trust", objectsTrust(t), "--from", part})
		}},
	}
}

// onObjects is what the constructed chain has, and objectLines what is asked of it alone.
var (
	onObjects = map[string]string{
		"NETWORK": "rebased-40a4058f", "RECORD": "BfLkpDmuVQEccAQKuqvj6DAvZGcQtrnz6GeikMD59hHb", "UNIT": "2nw7w6LWqGAVC5ryvRaQUYsqTwA93MrbHomxAo79XmUc",
		"TAG": "tag:energy", "WORD": "charging", "PLACE": "rebased-40a4058f/1/0", "BEYOND": "rebased-40a4058f/1/4711", "ABSENT": "DJM2apSeuDBY5V2xRdBdNWtHDeG2xmve3JV9ZxVg4V6J",
		"ADDRESS": "0xd9d6e8a7dc2f93d32a35ccf634a182e897ebecf3b60e34045d6305b47f5e95ac", "PAYLOAD": "b1ff0d4c412975ea5bd802a12c091909e9088664aa9ab8aec79c3a4bb7bd117d",
	}
	objectLines = []string{
		"get 0x909ce9dcd9a5e97b7b8884fac8e018fad9dece348bf73837379b8694ff684cf3::locked_notarization::create --json",
		"get 0x27eaaec52cc856962caec8e185e0a924f354ea084a899bb312dd6feaec659a710000 --json", "search kind:ProgrammableTransaction --all",
	}
)

func objectsTrust(t *testing.T) string {
	return filepath.Join(filepath.Dir(recordings(t)), "proof-vectors", "rebased", "trust.json")
}

// holed returns arguments of ingest that take a recording from a node that lacks one block.
func holed(t *testing.T, dir string) []string {
	r, err := replay.OpenRecording(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	node := httptest.NewServer(replay.NewFaults(replay.NewNode(r), 1, replay.Rule{Path: "blocks/" + block, Do: replay.Missing}))
	t.Cleanup(node.Close)
	return []string{"--trust", filepath.Join(dir, "trust.json"), "--from", node.URL, "--snapshot", filepath.Join(dir, "genesis_snapshot.bin")}
}
