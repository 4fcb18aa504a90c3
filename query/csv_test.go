package query_test

import (
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"permanode/query"
	"permanode/query/querytest"
)

// awkward are tags and payloads whose cells are dangerous in a table (FR-26), or no text at all.
var awkward = []string{
	"=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "＝1+1", "＋1", "－1", "＠x", "\ufeff=1", "\u200b-1",
	`a,"b"` + "\n=1", "a\r\nb", `"`, ",", "'=1", "plain", "Grüße 🙂", "0x3d31", "", "\x00", "\x00\x00", "a\x00b end", "\xff\xfe", "\x7f", "\u0085",
}

// unseen has no ink: white space, format characters, fillers.
const unseen = " \u00a0\u1680\u2000\u2003\u2007\u200b\u2028\u2029\u202f\u205f\u2060\u2800\u3000\u3164\uffa0\ufe0f\ufeff\u00ad\u034f\u115f\u180e\U000e0020"

// formula reports whether a program may take a cell for a formula.
func formula(cell string) bool {
	first := strings.TrimLeft(cell, "\ufeff\u200b")
	return first != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", []rune(first)[0]) || trimmed(cell)
}

// trimmed reports whether one may that trims cells, and brings text to one form.
func trimmed(cell string) bool {
	seen := norm.NFKC.String(strings.TrimLeft(cell, "\t\r\n"+unseen))
	return seen != "" && strings.ContainsRune("=+-@−", []rune(seen)[0])
}

// Whatever stands for a sign, behind whatever is not seen, begins no cell; anything else is shown as it is.
func TestTextsBehindBlanks(t *testing.T) {
	l := querytest.NewLibrary(t)
	id := l.AddNetwork("n", "")
	var raws []string
	add := func(text string) { raws = append(raws, text+"|addr1A|payload") }
	for _, blank := range unseen {
		for _, sign := range "=+-@" {
			add(fmt.Sprintf("%c%c1", blank, sign))
			add(fmt.Sprintf(" %c%c %c1", blank, blank, sign))
		}
		add(fmt.Sprintf("%cplain", blank))
	}
	for r := rune(0x80); r <= unicode.MaxRune; r++ {
		if trimmed(string(r)) {
			add(string(r) + "1")
			add(" " + string(r) + "1")
		}
	}
	l.AddUnit(id, 1, 1637899290000, raws...)
	text, _, err := querytest.Exported(t, l.Plain(), query.ExportRequest{Format: query.CSV})
	if err != nil {
		t.Fatal(err)
	}
	rows := querytest.Must(csv.NewReader(strings.NewReader(text)).ReadAll())
	for i, raw := range raws {
		tag, _, _ := strings.Cut(raw, "|")
		want := tag
		if !strings.HasSuffix(tag, "plain") {
			want = "'" + tag
		}
		if got := rows[i+1][9]; got != want {
			t.Errorf("%+q is shown as %+q, want %+q", tag, got, want)
		}
	}
	if len(raws) < 200 {
		t.Errorf("only %d texts", len(raws))
	}
}

// Somebody else's text becomes no formula, a record is one row, and the bytes are beside it (FR-26, FR-13).
func TestTableOfAwkwardTexts(t *testing.T) {
	l := querytest.NewLibrary(t)
	id := l.AddNetwork("n", "")
	var raws []string
	for _, text := range awkward {
		raws = append(raws, text+"|addr1A|payload", "-|addr1A|"+text, "|addr1A|"+text)
	}
	l.AddUnit(id, 1, 1637899290000, raws...)
	text, done, err := querytest.Exported(t, l.Plain(), query.ExportRequest{Format: query.CSV})
	if err != nil || done.Rows != uint64(len(raws)) {
		t.Fatal(done, err)
	}
	lines, _, _ := querytest.Exported(t, l.Plain(), query.ExportRequest{Format: query.NDJSON})
	ndjson := strings.Split(lines, "\n")
	if strings.Contains(text, "\x00") || strings.HasPrefix(text, "\ufeff") || !strings.HasSuffix(text, "\r\n") {
		t.Error("the table holds a raw zero byte, a byte order mark, or does not end in CRLF")
	}
	rows := querytest.Must(csv.NewReader(strings.NewReader(text)).ReadAll())
	at := map[string]int{}
	for i, c := range query.ExportColumns {
		at[c.Name] = i
		if rows[0][i] != c.Name {
			t.Errorf("column %d is %s, not %s", i, rows[0][i], c.Name)
		}
	}
	for i, raw := range raws {
		parts, row := strings.SplitN(raw, "|", 3), rows[i+1]
		for _, cell := range row {
			if formula(cell) {
				t.Errorf("%q: the cell %q is a formula", raw, cell)
			}
		}
		check := func(name, bytes string, has bool) {
			cell, inHex := row[at[name]], row[at[name+"_hex"]]
			if want := "0x" + hex.EncodeToString([]byte(bytes)); has && inHex != want || !has && cell+inHex != "" {
				t.Errorf("%q: %s is %q and %q, want %s", raw, name, cell, inHex, want)
			}
			shown := strings.TrimPrefix(cell, "'")
			if plain := strings.ReplaceAll(bytes, "\r\n", "\n"); has && shown != plain && cell != plain && cell != inHex { // the reader of this test takes CRLF for LF
				t.Errorf("%q: %s is shown as %q", raw, name, cell)
			}
		}
		check("tag", parts[0], parts[0] != "-")
		check("payload", parts[2], parts[2] != "") // content of no bytes is no payload
		payloads := "1"
		if parts[2] == "" {
			payloads = "0"
		}
		var object map[string]any
		if err := json.Unmarshal([]byte(ndjson[i]), &object); err != nil {
			t.Fatal(err)
		}
		if want := "0x" + hex.EncodeToString([]byte(parts[0])); parts[0] == "-" && object["tag"] != nil || parts[0] != "-" && object["tag"] != want {
			t.Errorf("%q: NDJSON says the tag %v", raw, object["tag"])
		}
		if row[at["seq"]] != "1" || row[at["pos"]] != fmt.Sprint(i) || row[at["time_utc"]] != "2021-11-26T04:01:30Z" || row[at["payloads"]] != payloads {
			t.Errorf("%q: numbers and time are %q", raw, row)
		}
	}
	for _, plain := range []string{"plain", "Grüße 🙂", ",", `"`, "0x3d31"} {
		if !slices.ContainsFunc(rows, func(row []string) bool { return row[at["tag"]] == plain }) {
			t.Errorf("%s is not shown as it is", plain)
		}
	}
}

// The time zone of the machine changes no byte (FR-27). The commands are run under TZ in export.txt.
func TestTableKnowsNoTimeZone(t *testing.T) {
	l := querytest.NewLibrary(t)
	l.AddUnit(l.AddNetwork("n", ""), 1, 1637899290000, "T|addr1A|x")
	own := time.Local
	defer func() { time.Local = own }()
	var all []string
	for _, zone := range []string{"America/New_York", "Asia/Tokyo", "UTC"} {
		time.Local = querytest.Must(time.LoadLocation(zone))
		for _, format := range []string{query.CSV, query.NDJSON} {
			text, _, err := querytest.Exported(t, l.Plain(), query.ExportRequest{Format: format})
			if err != nil || !strings.Contains(text, "2021-11-26T04:01:30Z") {
				t.Errorf("%s: %v %s", zone, err, text)
			}
			all = append(all, text)
		}
	}
	if all[0] != all[2] || all[0] != all[4] || all[1] != all[3] || all[1] != all[5] {
		t.Error("the zones differ")
	}
}

// What a unit did itself has no place, no state and no tag.
func TestTableOfAUnit(t *testing.T) {
	l := querytest.NewLibrary(t)
	id := l.AddNetwork("n", "")
	l.AddUnit(id, 1, 1000, "T|addr1A|x")
	text, _, err := querytest.Exported(t, l.Plain(), query.ExportRequest{Format: query.CSV, Query: "id:0x" + l.Held[id][1].Unit.ID.String()})
	rows := querytest.Must(csv.NewReader(strings.NewReader(text)).ReadAll())
	if err != nil || len(rows) != 2 || rows[1][2] != "" || rows[1][4] != "" || rows[1][5] != "" || rows[1][7] != "unit" || rows[1][10] != "" {
		t.Errorf("%v %q", err, rows)
	}
}

// /v1/columns and docs/csv.md describe the tables as they are.
func TestColumnsAreDocumented(t *testing.T) {
	got := querytest.Get(t, querytest.ServiceOf(querytest.Sample()), "/v1/columns").Json(t)
	docs := string(querytest.Must(os.ReadFile("../docs/csv.md")))
	tables := got["tables"].([]any)
	if len(tables) == 0 {
		t.Fatal("no table")
	}
	for _, table := range tables {
		name := table.(map[string]any)["table"].(string)
		for _, column := range table.(map[string]any)["columns"].([]any) {
			c := column.(map[string]any)
			if c["name"] == "" || c["rule"] == "" || !slices.Contains([]string{"text", "word", "integer", "time", "hex"}, c["type"].(string)) {
				t.Errorf("%s: the column %v is not described", name, c)
			}
			rule := strings.TrimSuffix(strings.TrimSuffix(c["rule"].(string), query.TextRule), " ")
			if line := strings.ReplaceAll(fmt.Sprintf("| `%s` | %s | %s | %s |", c["name"], c["type"], c["unit"], rule), "|  |", "| |"); !strings.Contains(docs, line) {
				t.Errorf("docs/csv.md lacks the line of the table %s:\n%s", name, line)
			}
			if utc := strings.HasSuffix(c["name"].(string), "_utc"); utc != (c["type"] == "time") || utc != (c["unit"] == "RFC 3339, UTC") {
				t.Errorf("%s.%s: a time says its zone in its name and unit", name, c["name"])
			}
		}
	}
	if !strings.Contains(docs, query.TextRule) {
		t.Errorf("docs/csv.md lacks the rule of texts:\n%s", query.TextRule)
	}
}
