package api

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"permanode/query"
)

// encoder is a compressor that can be used again.
type encoder interface {
	io.WriteCloser
	Flush() error
}

// coding is a content coding; without a name it is none.
type coding struct {
	name string
	open func(io.Writer) encoder
	only bool // the client takes no other form, whatever it is of
}

// codings are those that the service has, the better one first.
var codings = []coding{
	{name: "zstd", open: pooled(func() *zstd.Encoder {
		// One goroutine and a window that a hundred clients at once may have.
		e, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(256<<10), zstd.WithLowerEncoderMem(true))
		return e
	})},
	{name: "gzip", open: pooled(func() *gzip.Writer {
		e, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed)
		return e
	})},
}

// minEncode is the size below which encoding is not worth it.
const minEncode = 1 << 10

// encodable are the media types that become smaller. A stream of events is none of them: two thousand clients would
// hold a compressor each, and every message would be compressed two thousand times.
var encodable = []string{
	"application/json", problemMedia, "application/x-ndjson", "application/yaml", "text/csv", "text/html", "text/plain",
}

// coding chooses how the answer with these headers is encoded.
func (w *response) coding(status int) coding {
	h := w.Header()
	length, err := strconv.Atoi(h.Get("Content-Length"))
	media, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	switch {
	case w.accepted.name == "", h.Get("Content-Encoding") != "", h.Get("Content-Range") != "":
	case status < 200, status == http.StatusNoContent, status == http.StatusPartialContent:
	case w.accepted.only:
		return w.accepted
	case err == nil && length < minEncode:
	case !slices.Contains(encodable, strings.TrimSpace(media)):
	default:
		return w.accepted
	}
	return coding{}
}

// negotiate reads Accept-Encoding (RFC 9110 12.5.3): the coding with the highest weight that the service has; of equals
// the better one.
func negotiate(h http.Header) (best coding, p *Problem) {
	weights, rest := map[string]float64{}, -1.0
	for _, list := range h.Values("Accept-Encoding") {
		for one := range strings.SplitSeq(list, ",") {
			name, weight, ok := weighted(one)
			switch {
			case !ok:
				return coding{}, problem("bad-header", "Accept-Encoding %s cannot be read: write it like gzip, zstd;q=0.5", query.Quote(list))
			case name == "*":
				rest = weight
			case name != "":
				weights[strings.TrimPrefix(name, "x-")] = weight
			}
		}
	}
	top := 0.0
	for _, c := range codings {
		weight, given := weights[c.name]
		if !given {
			weight = max(rest, 0)
		}
		if weight > top {
			best, top = c, weight
		}
	}
	plain, given := weights["identity"]
	if !given {
		plain = 1
		if rest == 0 {
			plain = 0
		}
	}
	best.only = plain == 0
	switch {
	case best.only && best.name == "":
		return coding{}, problem("not-acceptable", "Accept-Encoding forbids plain answers and names no coding that is known: add zstd or gzip")
	case given && plain > top:
		return coding{}, nil
	}
	return best, nil
}

// weighted reads one member of a list with weights: "gzip;q=0.5".
func weighted(text string) (name string, weight float64, ok bool) {
	name, params, has := strings.Cut(text, ";")
	name = strings.ToLower(strings.TrimSpace(name))
	if !has {
		return name, 1, true
	}
	q, found := strings.CutPrefix(strings.ToLower(strings.TrimSpace(params)), "q=")
	weight, err := strconv.ParseFloat(q, 64)
	return name, weight, found && err == nil && weight >= 0 && weight <= 1
}

// resetting is what compressors share beyond encoder.
type resetting interface {
	encoder
	Reset(io.Writer)
}

// pooled keeps compressors for the next answer. One that was not closed is left to the collector.
func pooled[E resetting](make func() E) func(io.Writer) encoder {
	pool := &sync.Pool{New: func() any { return make() }}
	return func(w io.Writer) encoder {
		e := pool.Get().(E)
		e.Reset(w)
		return &lent[E]{e, pool}
	}
}

type lent[E resetting] struct {
	e    E
	pool *sync.Pool
}

func (l *lent[E]) Write(b []byte) (int, error) { return l.e.Write(b) }
func (l *lent[E]) Flush() error                { return l.e.Flush() }

func (l *lent[E]) Close() error {
	err := l.e.Close()
	l.e.Reset(nil)
	l.pool.Put(l.e)
	return err
}
