// Package access says who may ask: the keys file, the roles, and the caller of a request. It keeps no session and
// asks nobody else: single sign-on and client certificates belong to a proxy in front.
package access

// Role is what a key may do. A higher one may do all that a lower one may.
type Role uint8

// The roles, in order. Anyone needs no key.
const (
	Anyone   Role = iota
	Reader        // search, records, statements, exports, streams
	Auditor       // and evidence, audits, the log of the archive
	Operator      // and what makes the service do something: a checkpoint of the store
	Admin         // everything
)

// Caller is who asks.
type Caller struct {
	Name    string // of the key; "" without one
	Role    Role
	Address string // remote IP address
}
