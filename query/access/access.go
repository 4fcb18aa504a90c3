// Package access says who may ask: the keys file, the roles, and the caller of a request. It keeps no session and
// asks nobody else: single sign-on and client certificates belong to a proxy in front.
//
// The keys file is a list, in YAML or JSON, of entries with three members and no others:
//
//	# who asks        the SHA-256 of the key's text                                             what it may
//	- {name: ledger-team, sha256: 5f2b…64 hexadecimal digits…, role: reader}
//
// It holds no secret: a key cannot be had from its SHA-256. Two entries may have one name, so that a key can be replaced
// while both work. [Keys.Reload] reads the file again; a bad one changes nothing.
package access

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
)

// Role is what a key may do. A higher one may do all that a lower one may.
type Role uint8

// The roles, in order. Anyone needs no key.
const (
	Anyone   Role = iota
	Reader        // search, records, statements, exports, streams
	Auditor       // and evidence, audits, the log of the archive, the access trail
	Operator      // and what makes the service do something: a checkpoint of the store
	Admin         // everything
)

// roleNames are the roles as text, in order.
var roleNames = []string{"anyone", "reader", "auditor", "operator", "admin"}

func (r Role) String() string {
	if int(r) < len(roleNames) {
		return roleNames[r]
	}
	return fmt.Sprintf("role %d", r)
}

// ParseRole reads a role that a key can have: reader, auditor, operator or admin.
func ParseRole(text string) (Role, error) {
	if i := slices.Index(roleNames, text); i > 0 {
		return Role(i), nil
	}
	return Anyone, fmt.Errorf("%s is no role: write %s", quote(text), strings.Join(roleNames[1:], ", "))
}

// Caller is who asks.
type Caller struct {
	Name    string // of the key; "" without one
	Role    Role
	Address string // remote IP address
}

// Local is the caller where there are no keys, which is on loopback only: the user of this machine, who could read the
// archive's files as well. He may do everything. It never fails.
func Local(r *http.Request) (Caller, error) {
	return Caller{Role: Admin, Address: address(r)}, nil
}

// Why a request has no caller with a name. The errors that wrap them say what to send instead and never hold the key.
var (
	ErrNoKey      = errors.New("no key")
	ErrBadKey     = errors.New("malformed key")
	ErrUnknownKey = errors.New("unknown key")
)

// maxToken bounds what is hashed for a stranger.
const maxToken = 512

// Caller says who sends r, by its header Authorization: Bearer KEY. It fails with [ErrNoKey], [ErrBadKey] or
// [ErrUnknownKey], and then the caller is Anyone at that address. It takes the same time for every key, whichever entry it
// is in. Safe for concurrent use, also with Reload.
func (k *Keys) Caller(r *http.Request) (Caller, error) {
	c := Caller{Address: address(r)}
	token, err := bearer(r.Header.Values("Authorization"))
	if err != nil {
		return c, err
	}
	e := k.find(token)
	if e == nil {
		return c, fmt.Errorf("%w: this key is in no entry of the keys file: ask the operator for one", ErrUnknownKey)
	}
	c.Name, c.Role = e.name, e.role
	return c, nil
}

// bearer returns the key of the Authorization headers (RFC 6750, section 2.1).
func bearer(headers []string) (string, error) {
	if len(headers) == 0 {
		return "", fmt.Errorf("%w: send the header Authorization: Bearer KEY", ErrNoKey)
	}
	if len(headers) > 1 {
		return "", fmt.Errorf("%w: there are %d Authorization headers: send one", ErrBadKey, len(headers))
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", fmt.Errorf("%w: the Authorization header is no Bearer: write Authorization: Bearer KEY", ErrBadKey)
	}
	token = strings.Trim(token, " ")
	if token == "" || len(token) > maxToken || strings.ContainsFunc(token, notToken) {
		return "", fmt.Errorf("%w: a key has 1 to %d letters, digits and - . _ ~ + / =", ErrBadKey, maxToken)
	}
	return token, nil
}

// notToken tells what cannot stand in a b64token of RFC 6750.
func notToken(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._~+/=", r)
}

// address returns the remote IP address of r without its port and zone.
func address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	host, _, _ = strings.Cut(host, "%")
	return host
}

// quote shows a stranger's text in a message, cut to what a line can hold.
func quote(text string) string {
	const most = 40
	if len(text) > most {
		return fmt.Sprintf("%q…", text[:most])
	}
	return fmt.Sprintf("%q", text)
}
