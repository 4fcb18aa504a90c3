package api

import (
	"net/http"
	"strconv"
	"strings"
)

// preferred returns the offer that the Accept headers like most (RFC 9110, section 12.5.1): the first of several that they
// like as much, and the first of all where none is acceptable. An offer is a media type without parameters.
func preferred(h http.Header, offers ...string) string {
	best, most := offers[0], 0.0
	for _, offer := range offers {
		if q := quality(h.Values("Accept"), offer); q > most {
			best, most = offer, q
		}
	}
	return best
}

// quality returns how much the headers like a media type, by the most exact range that fits it: 0 to 1.
func quality(accept []string, offer string) (q float64) {
	family, _, _ := strings.Cut(offer, "/")
	exact := 0
	for _, part := range strings.Split(strings.Join(accept, ","), ",") {
		media, params, _ := strings.Cut(part, ";")
		fits := 0
		switch strings.ToLower(strings.TrimSpace(media)) {
		case offer:
			fits = 3
		case family + "/*":
			fits = 2
		case "*/*":
			fits = 1
		}
		if fits > exact {
			exact, q = fits, weight(params)
		}
	}
	return q
}

// weight returns the q of a media range's parameters, 1 if there is none that can be read.
func weight(params string) float64 {
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if !strings.EqualFold(name, "q") {
			continue
		}
		if q, err := strconv.ParseFloat(value, 64); err == nil && q >= 0 && q <= 1 {
			return q
		}
	}
	return 1
}
