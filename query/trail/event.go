package trail

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The kinds of lines.
const (
	Call  = "call"  // a call that was answered or refused
	Begin = "begin" // an export or a stream begins: on disk before its first byte
	End   = "end"   // it ended; the begin has the same request id

	start = "start" // the service started; says how the run before ended
	stop  = "stop"  // the service stopped
	lost  = "lost"  // lines that found no room while the disk took none

	refused = "refused" // calls without a good key that have no line of their own
)

// Event is a call that reads, exports or verifies. Its texts may hold any bytes; no secret may be among them.
type Event struct {
	Event     string // Call, Begin or End; "" means Call
	RequestID string
	Key       string // name of the key; "" for the user of this machine
	Role      string
	Address   string // remote IP address
	Method    string
	Route     string            // pattern
	Path      map[string]string // the variables of the pattern, decoded
	Params    map[string]string // the parameters, decoded; known ones only
	Query     string            // canonical
	Status    int               // HTTP; of Call and End
	Denied    bool              // by key or role
	Rows      uint64            // results given
	Bytes     uint64            // of the body
	Duration  time.Duration
	Complete  bool // of End: the answer was sent whole
}

const (
	maxText = 4 << 10 // of a text in a line, as it is written there; a longer one is cut, and ends with its length
	maxVain = 256     // of one in the line of a call that was refused: what it asked for was not read
	maxLine = 1 << 20 // newline included
)

// zeroHash is prev of line 1.
var zeroHash = strings.Repeat("0", 2*sha256.Size)

func hash(line []byte) string {
	h := sha256.Sum256(line)
	return hex.EncodeToString(h[:])
}

// line is a line as it is written, in this order.
type line struct {
	Seq   uint64 `json:"seq"`
	Prev  string `json:"prev"`
	Time  string `json:"time"`
	Event string `json:"event"`
	*call
	*result
	*started
	Complete *bool  `json:"complete,omitempty"`
	Lost     uint64 `json:"lost,omitempty"`
	Calls    uint64 `json:"calls,omitempty"`
}

type call struct {
	RequestID string            `json:"request_id"`
	Key       string            `json:"key"`
	Role      string            `json:"role"`
	Address   string            `json:"address"`
	Method    string            `json:"method"`
	Route     string            `json:"route"`
	Path      map[string]string `json:"path,omitempty"`
	Params    map[string]string `json:"params,omitempty"`
	Query     string            `json:"query,omitempty"`
	QueryHex  string            `json:"query_hex,omitempty"`
	Allowed   bool              `json:"allowed"`
}

type result struct {
	Status     int    `json:"status"`
	Rows       uint64 `json:"rows"`
	Bytes      uint64 `json:"bytes"`
	DurationUS int64  `json:"duration_us"`
}

type started struct {
	After string `json:"after"` // how the run before ended: "stop", "kill", "copy", or "nothing" before line 1
	Torn  []torn `json:"torn,omitempty"`
	Note  string `json:"note,omitempty"` // what was found wrong
}

// torn is a file that keeps what no line was made of.
type torn struct {
	File   string `json:"file"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

const timeLayout = "2006-01-02T15:04:05.000000Z"

// lineOf returns the line of e, without what the chain adds. What was denied was not read, and may be of any length.
func lineOf(e *Event) line {
	l := line{Event: e.Event}
	if l.Event == "" {
		l.Event = Call
	}
	l.call = &call{
		RequestID: text(e.RequestID), Key: text(e.Key), Role: e.Role, Address: text(e.Address), Method: text(e.Method), Route: e.Route,
		Allowed: !e.Denied,
	}
	most := maxText
	if l.Event == Call && e.Status >= http.StatusBadRequest {
		most = maxVain
	}
	switch {
	case e.Denied:
	case utf8.ValidString(e.Query):
		l.Path, l.Params, l.Query = texts(e.Path, most), texts(e.Params, most), cut(e.Query, most)
	default:
		l.Path, l.Params, l.QueryHex = texts(e.Path, most), texts(e.Params, most), hexText(e.Query, most)
	}
	if l.Event != Begin {
		l.result = &result{e.Status, e.Rows, e.Bytes, e.Duration.Microseconds()}
	}
	if l.Event == End {
		l.Complete = &e.Complete
	}
	return l
}

func text(s string) string { return cut(s, maxText) }

// cut cuts what is too long to be of use: to what takes at most so many bytes in a line.
func cut(s string, most int) string {
	size := 0
	for i, r := range s {
		if size += written(r); size > most {
			return fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(s[:i], ""), len(s))
		}
	}
	return s
}

// written returns how many bytes of a line a rune takes at most.
func written(r rune) int {
	switch {
	case r >= 0x10000 && unseen(r):
		return len(`\udb40\udc01`)
	case unseen(r), r == '\u2028', r == '\u2029', r == utf8.RuneError:
		return len(`\u2028`)
	case r == '"', r == '\\':
		return 2
	}
	return utf8.RuneLen(r)
}

// Written returns how many bytes a text takes in a line at most, where it was not refused.
func Written(s string) (size int) {
	if !utf8.ValidString(s) {
		return min(2*len(s), maxText)
	}
	for _, r := range s {
		if size += written(r); size > maxText {
			return maxText
		}
	}
	return size
}

func hexText(s string, most int) string { return cut(hex.EncodeToString([]byte(s)), most) }

// texts copies m. What is not UTF-8 is written in hexadecimal, and its name says so: JSON has no other way to keep it.
func texts(m map[string]string, most int) map[string]string {
	if len(m) == 0 {
		return nil
	}
	out := make(map[string]string, len(m))
	for name, value := range m {
		if utf8.ValidString(value) {
			out[text(name)] = cut(value, most)
		} else {
			out[text(name)+"_hex"] = hexText(value, most)
		}
	}
	return out
}

// encode returns l with its newline, at most maxLine bytes. Control characters, and those that change how a terminal
// shows the rest, are escaped.
func (l *line) encode() ([]byte, error) {
	raw, err := l.json()
	if err == nil && len(raw) > maxLine && l.call != nil {
		l.Path, l.Params, l.Query, l.QueryHex = nil, nil, "(too long to write)", ""
		raw, err = l.json()
	}
	return raw, err
}

func (l *line) json() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(l); err != nil {
		return nil, fmt.Errorf("encode line %d: %w", l.Seq, err)
	}
	raw := b.Bytes()
	if !bytes.ContainsFunc(raw[:len(raw)-1], unseen) {
		return raw, nil
	}
	var out bytes.Buffer
	for _, r := range string(raw[:len(raw)-1]) {
		if !unseen(r) {
			out.WriteRune(r)
		} else if r < 0x10000 {
			fmt.Fprintf(&out, `\u%04x`, r)
		} else {
			hi, lo := (r-0x10000)>>10+0xd800, (r-0x10000)&0x3ff+0xdc00
			fmt.Fprintf(&out, `\u%04x\u%04x`, hi, lo)
		}
	}
	return append(out.Bytes(), '\n'), nil
}

func unseen(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }

// link is what the chain needs of a line.
type link struct {
	Seq   uint64 `json:"seq"`
	Prev  string `json:"prev"`
	Time  string `json:"time"`
	Event string `json:"event"`
	After string `json:"after"`
	Torn  []torn `json:"torn"`
	Note  string `json:"note"`
	Lost  uint64 `json:"lost"`

	hash string
}

// parseLink reads a line, newline included.
func parseLink(raw []byte) (l link, err error) {
	if err := json.Unmarshal(raw, &l); err != nil {
		return l, fmt.Errorf("is no JSON object of a line: %w", err)
	}
	l.hash = hash(raw)
	if l.Seq == 0 || len(l.Prev) != len(zeroHash) || l.Event == "" {
		return l, errors.New("has no seq, prev and event")
	}
	if _, err := time.Parse(timeLayout, l.Time); err != nil {
		return l, fmt.Errorf("its time %.40q is not like %s", l.Time, timeLayout)
	}
	return l, nil
}

// state is a place in the chain: the number and the hash of a line.
type state struct {
	seq  uint64
	hash string
}

func (s state) takes(l link) bool { return l.Seq == s.seq+1 && l.Prev == s.hash }

func (l link) state() state { return state{l.Seq, l.hash} }
