package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// Tangle is a generated network, ready to be asked as a node. Its methods are safe for concurrent
// use; nil means that it knows nothing of it.
type Tangle interface {
	Info() []byte                // body of /api/core/v2/info, JSON
	Head(seq uint64) []byte      // raw unit
	Block(id [32]byte) []byte    // raw record
	Metadata(id [32]byte) []byte // body of /api/core/v2/blocks/{id}/metadata, JSON
}

// Node is a recording that answers HTTP. It is safe for concurrent use.
type Node struct {
	rec *Recording

	mu     sync.Mutex // guards what follows
	tip    uint64
	pruned uint64        // newest unit that is gone
	moved  chan struct{} // closed, and made anew, when tip is set
}

// NewNode returns a node that knows all of rec.
func NewNode(rec *Recording) *Node {
	return &Node{rec: rec, tip: rec.Last, pruned: max(rec.First, 1) - 1, moved: make(chan struct{})}
}

// SetTip makes seq the newest unit that the node has confirmed, within the recording. Later units are
// unknown. It may go backwards.
func (n *Node) SetTip(seq uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tip = min(seq, n.rec.Last)
	close(n.moved)
	n.moved = make(chan struct{})
}

// Tip returns the newest unit.
func (n *Node) Tip() uint64 {
	tip, _, _ := n.span()
	return tip
}

// SetPruned makes the node forget the units up to seq, and what they confirmed.
func (n *Node) SetPruned(seq uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pruned = max(seq, max(n.rec.First, 1)-1)
}

// span returns the newest unit, the newest that is gone, and a channel that is closed when the tip is set again.
func (n *Node) span() (tip, pruned uint64, moved <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.tip, n.pruned, n.moved
}

// ServeHTTP answers as recorded, except that the tip in /info is that of this node and that units
// beyond it are unknown.
func (n *Node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	tip, pruned, _ := n.span()
	if text, ok := strings.CutPrefix(r.URL.Path, unitPath); ok {
		index, _, _ := strings.Cut(text, "/")
		if seq, err := strconv.ParseUint(index, 10, 64); err == nil && (seq > tip || seq <= pruned) {
			notFound(w, fmt.Sprintf("milestone index not found: %d: code=404, message=Not Found", seq))
			return
		}
	}
	if id, ok := blockID(strings.TrimSuffix(r.URL.Path, "/metadata")); ok {
		gone, err := n.gone(id, pruned)
		if err != nil {
			writeError(w, http.StatusInternalServerError, err.Error())
			return
		}
		if gone {
			notFound(w, "code=404, message=Not Found")
			return
		}
	}
	p, ok := n.rec.routes[routeKey(r.Method, r.URL.Path, r.Header.Get("Accept"))]
	if !ok {
		notFound(w, "code=404, message=Not Found")
		return
	}
	body, err := n.rec.read(p, 0)
	if err == nil && r.URL.Path == infoPath && p.status == http.StatusOK {
		body, err = n.info(body, tip, pruned)
	}
	if err != nil {
		writeError(w, http.StatusInternalServerError, err.Error())
		return
	}
	write(w, int(p.status), n.rec.types[p.kind], body)
}

// gone reports whether the node has pruned the unit that confirmed a record.
func (n *Node) gone(id [32]byte, pruned uint64) (bool, error) {
	if pruned < n.rec.First {
		return false, nil
	}
	c, err := n.rec.cones()
	if err != nil {
		return false, err
	}
	seq, ok := c.by[id]
	return ok && seq <= pruned, nil
}

// info rewrites the recorded answer: this node's tip, and everything before the recording pruned.
func (n *Node) info(body []byte, tip, pruned uint64) ([]byte, error) {
	return editObject(body, func(info map[string]any) {
		status, _ := info["status"].(map[string]any)
		if status == nil {
			return
		}
		milestone := map[string]any{"index": tip}
		if t, ok := n.rec.unitTime(tip); ok {
			milestone["timestamp"] = t
		}
		if id, ok := n.rec.unitID(tip); ok {
			milestone["milestoneId"] = id
		}
		status["latestMilestone"], status["confirmedMilestone"] = milestone, milestone
		said, _ := status["pruningIndex"].(json.Number)
		if p, err := strconv.ParseUint(said.String(), 10, 64); err == nil {
			status["pruningIndex"] = max(p, pruned)
		}
	})
}

// editObject returns a JSON object as edit leaves it. Numbers keep their digits.
func editObject(body []byte, edit func(map[string]any)) ([]byte, error) {
	var v map[string]any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("edit JSON answer: %w", err)
	}
	edit(v)
	return json.Marshal(v)
}

// Serve returns a handler that answers the four routes that an archive needs from t.
func Serve(t Tangle) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+infoPath, func(w http.ResponseWriter, _ *http.Request) { object(w, jsonType, t.Info()) })
	mux.HandleFunc("GET "+unitPath+"{seq}", func(w http.ResponseWriter, r *http.Request) {
		seq, err := strconv.ParseUint(r.PathValue("seq"), 10, 64)
		if err != nil || r.Header.Get("Accept") != Raw {
			notFound(w, "code=404, message=Not Found")
			return
		}
		object(w, Raw, t.Head(seq))
	})
	mux.HandleFunc("GET "+blockPath+"{id}", func(w http.ResponseWriter, r *http.Request) {
		id, ok := blockID(r.URL.Path)
		if !ok || r.Header.Get("Accept") != Raw {
			notFound(w, "code=404, message=Not Found")
			return
		}
		object(w, Raw, t.Block(id))
	})
	mux.HandleFunc("GET "+blockPath+"{id}/metadata", func(w http.ResponseWriter, r *http.Request) {
		id, ok := blockID(strings.TrimSuffix(r.URL.Path, "/metadata"))
		if !ok {
			notFound(w, "code=404, message=Not Found")
			return
		}
		object(w, jsonType, t.Metadata(id))
	})
	return mux
}

const jsonType = "application/json; charset=UTF-8"

func object(w http.ResponseWriter, contentType string, body []byte) {
	if body == nil {
		notFound(w, "code=404, message=Not Found")
		return
	}
	write(w, http.StatusOK, contentType, body)
}

func write(w http.ResponseWriter, status int, contentType string, body []byte) {
	if contentType != "" {
		w.Header().Set("Content-Type", contentType)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client went away: nobody is left to tell
}

func notFound(w http.ResponseWriter, why string) {
	writeError(w, http.StatusNotFound, "Not Found, error: "+why)
}

func writeError(w http.ResponseWriter, status int, message string) {
	type detail struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	body, err := json.Marshal(map[string]detail{"error": {strconv.Itoa(status), message}})
	if err != nil {
		body = nil
	}
	write(w, status, jsonType, append(body, '\n'))
}

// Transport returns a round tripper that asks h in this process, without a network: how a recording
// folder becomes a source. Answers are held in memory, so h should be a [Node].
func Transport(h http.Handler) http.RoundTripper { return direct{h} }

type direct struct{ h http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if r.Body != nil {
		if err := r.Body.Close(); err != nil {
			return nil, err
		}
	}
	w := &buffered{header: http.Header{}}
	d.h.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if w.status == 0 {
		return nil, errors.New("the handler gave no answer")
	}
	return &http.Response{
		StatusCode: w.status, Status: strconv.Itoa(w.status) + " " + http.StatusText(w.status),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: w.header, Request: r,
		Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()),
	}, nil
}

// buffered is an http.ResponseWriter in memory.
type buffered struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (b *buffered) Header() http.Header { return b.header }

func (b *buffered) WriteHeader(status int) {
	if b.status == 0 {
		b.status = status
	}
}

func (b *buffered) Write(p []byte) (int, error) {
	b.WriteHeader(http.StatusOK)
	return b.body.Write(p)
}
