package api

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"

	"permanode/query"
)

// How long clients and caches may keep an answer. Lists and states are never kept: they grow.
const (
	// cacheForever is for what can never change, because the hash of its content names it.
	cacheForever = "public, max-age=31536000, immutable"
	// cacheShort is for what a record says in the words of this program: a later version may say more.
	cacheShort = "public, max-age=60, must-revalidate"
	// cacheNever is for what may change at any time: it is kept only to be asked for again.
	cacheNever = "public, no-cache"
)

// kept sends an answer that may be kept as cache says, under an entity tag that is the hash of its content.
func kept(cache, contentType string, body []byte) writer {
	tag, answer := entityTag(body), send(http.StatusOK, contentType, body)
	return func(w http.ResponseWriter) error {
		h := w.Header()
		h.Set("ETag", tag)
		h.Set("Cache-Control", cache)
		return answer(w)
	}
}

func keptJSON(cache string, v any) (writer, error) {
	body, err := query.EncodeJSON(v)
	if err != nil {
		return nil, err
	}
	return kept(cache, "application/json", body), nil
}

// keptParts sends what was received from the network, or parts of it.
func keptParts(q *request, body []byte) writer {
	return func(w http.ResponseWriter) error {
		h := w.Header()
		h.Set("Content-Type", mediaBytes)
		h.Set("ETag", entityTag(body))
		h.Set("Cache-Control", cacheForever)
		return sendParts(w, q.http, body)
	}
}

// entityTag is a strong one: 128 bits of the hash of the content.
func entityTag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + hex.EncodeToString(sum[:16]) + `"`
}

// maxLink is the length of the longest header Link: of a longer question only the list itself tells the next page.
const maxLink = 4 << 10

// page sends one page of a list. Where the next one is stands in the header Link too (RFC 8288).
func (q *request) page(list any, next *string) (writer, error) {
	answer, err := sendJSON(http.StatusOK, list, nil)
	if err != nil || next == nil {
		return answer, err
	}
	params := url.Values{"cursor": {*next}}
	for name, value := range q.params {
		if name != "cursor" {
			params.Set(name, value)
		}
	}
	link := "<" + q.http.URL.EscapedPath() + "?" + params.Encode() + `>; rel="next"`
	if len(link) > maxLink {
		return answer, nil
	}
	return func(w http.ResponseWriter) error {
		w.Header().Set("Link", link)
		return answer(w)
	}, nil
}
