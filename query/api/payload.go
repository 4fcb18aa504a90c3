package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"

	"permanode/query"
)

const mediaBytes = "application/octet-stream"

// payload answers with the bytes of a payload, or parts of them (RFC 9110, section 14).
func (a *service) payload(ctx context.Context, q *request) (writer, error) {
	networks, err := a.Archive.Select(ctx, q.params["network"])
	if err != nil {
		return nil, err
	}
	c, err := a.Archive.Payload(ctx, networks, q.vars["payload"])
	if err != nil {
		return nil, err
	}
	q.noted.rows = 1
	return func(w http.ResponseWriter) error {
		name := hex.EncodeToString(c.SHA256[:])
		h := w.Header()
		h.Set("Content-Type", mediaBytes)
		h.Set("Content-Disposition", `attachment; filename="`+name+`.bin"`)
		h.Set("ETag", `"`+name+`"`)
		h.Set("Cache-Control", cacheForever)
		h.Set("Link", "</v1/records/"+name+`>; rel="describedby"`)
		return sendParts(w, q.http, c.Raw)
	}, nil
}

// sendParts sends what the client asks for of body: all of it, ranges, or nothing new. Headers are those of the whole.
func sendParts(w http.ResponseWriter, r *http.Request, body []byte) error {
	asked := r.Header.Get("Range")
	ranges, none := usableRange(r.Method, asked)
	p := &partsWriter{ResponseWriter: w}
	if none {
		p.refused = http.StatusRequestedRangeNotSatisfiable
	} else {
		r = r.Clone(r.Context())
		r.Header.Set("Range", ranges)
		http.ServeContent(p, r, "", time.Time{}, bytes.NewReader(body))
	}
	if p.refused == 0 {
		return nil
	}
	h := w.Header()
	for _, name := range []string{"Content-Disposition", "ETag", "Cache-Control", "Link", "Content-Length"} {
		h.Del(name)
	}
	if p.refused == http.StatusPreconditionFailed {
		return problem("precondition-failed", "the payload is not the one that If-Match names: its hash is its name, so it never changes")
	}
	h.Set("Content-Range", "bytes */"+strconv.Itoa(len(body)))
	return problem("bad-range", "the Range %s is none of the %d bytes: write it like bytes=0-99 or bytes=-100", query.Quote(asked), len(body))
}

// usableRange returns the part of a Range header that counts: nothing of other units, or of HEAD. The last 0 bytes are no
// range, which net/http does not know; none: there is no other.
func usableRange(method, asked string) (usable string, none bool) {
	list, ok := strings.CutPrefix(asked, "bytes=")
	if !ok || method != http.MethodGet {
		return "", false
	}
	var parts []string
	for part := range strings.SplitSeq(list, ",") {
		if last, ok := strings.CutPrefix(strings.TrimSpace(part), "-"); !ok || last == "" || strings.Trim(last, "0") != "" {
			if first, last, dash := strings.Cut(part, "-"); dash {
				part = smallPos(first) + "-" + smallPos(last)
			}
			parts = append(parts, part)
		}
	}
	return "bytes=" + strings.Join(parts, ","), len(parts) == 0
}

// maxPos is behind the end of anything.
const maxPos = "999999999999999999"

// smallPos makes a position that no integer holds one that is as far behind the end.
func smallPos(text string) string {
	digits := strings.TrimSpace(text)
	if len(digits) <= len(maxPos) || strings.Trim(digits, "0123456789") != "" {
		return text
	}
	if digits = strings.TrimLeft(digits, "0"); len(digits) > len(maxPos) {
		return maxPos
	}
	return cmp.Or(digits, "0")
}

// partsWriter keeps back an answer that is a refusal: it is told as a problem.
type partsWriter struct {
	http.ResponseWriter
	refused int // status
}

func (p *partsWriter) WriteHeader(status int) {
	if status >= http.StatusBadRequest {
		p.refused = status
		return
	}
	if status == http.StatusNotModified {
		p.Header().Del("Content-Disposition")
		p.Header().Del("Link")
	}
	p.ResponseWriter.WriteHeader(status)
}

func (p *partsWriter) Write(b []byte) (int, error) {
	if p.refused != 0 {
		return len(b), nil
	}
	return p.ResponseWriter.Write(b)
}
