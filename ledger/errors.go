package ledger

import (
	"errors"
	"fmt"
)

// ErrSyntax is wrapped by every error of a parser: the bytes are not what they claim to be.
var ErrSyntax = errors.New("malformed")

// ErrTrust is wrapped by every error of a trust file.
var ErrTrust = errors.New("trust file")

// ErrNoLedger says that nobody can tell who owned what there: the span holds no ledger, or not its beginning.
var ErrNoLedger = errors.New("the ledger is not held")

// A Forged error reports content that is well formed and not true: a signature, link, root or rule
// fails. The source lied or was lied to; another one may have the true bytes.
type Forged struct {
	Seq  uint64
	Code string // stable, for tests, metrics and quarantine file names: "unit.signature", "native.root", …
	Why  string // one sentence with the facts
}

func (e *Forged) Error() string { return fmt.Sprintf("unit %d: %s: %s", e.Seq, e.Code, e.Why) }

// An Unjudged error reports a unit that cannot be judged yet: who signs at its place is told by units that are not
// here. It is no reproach to a source.
type Unjudged struct {
	Seq   uint64
	Early bool // it lies before what the trust file knows of: no unit that comes later will tell
	Why   string
}

func (e *Unjudged) Error() string { return fmt.Sprintf("unit %d cannot be judged: %s", e.Seq, e.Why) }

// A Mismatch reports bytes that do not hash to an id that was asked for.
type Mismatch struct{ Got ID }

func (e *Mismatch) Error() string {
	return fmt.Sprintf("bytes hash to %s, which was not asked for", e.Got)
}
