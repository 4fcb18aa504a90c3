// Package client asks a running permanode over its HTTP API: what package query answers in process, [Client] answers
// over the wire, with the same types.
//
//	c, err := client.New("https://archive.example", client.WithKey(secret))
//	for item, err := range c.Search(ctx, client.Question{Query: `tag:INVOICE "net 30"`}, nil) {
//		…
//	}
//
// An error says who failed. [*Problem] is the service's own answer (RFC 9457); it wraps what the same mistake is when
// an archive is read in process: storage.ErrNotFound, storage.ErrCorrupt, query.ErrNotID, query.ErrBadCursor, or
// [ErrBadRequest], [ErrForbidden]. [*NoServiceError] says that nobody answered, or something that is no permanode: a
// proxy, another program, a cut answer. An export over gaps ends with storage.ErrIncomplete.
//
// Every call takes a context and has its own deadline. A service that asks for patience (429, or 503 with Retry-After)
// is asked again, a bounded number of times, after as long as it said and a little more, so that clients that were sent
// away together do not come back together. Nothing else is sent twice, but for a read whose answer broke off.
//
// Answers are bounded in memory; exports, streams and payloads are written on as they come. Redirects are not
// followed, so a key goes to the host that it was given for and to no other. Proxies are those of the environment,
// none for loopback. A Client is safe for concurrent use. It starts no goroutine beside those of net/http's idle
// connections, which [Client.Close] ends.
package client
