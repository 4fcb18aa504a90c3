package ledger

// FactsVersion is raised whenever extraction changes. Facts may change; a cone may not.
const FactsVersion = 1

// Facts is what a person can search for and read of one record. It is drawn from the record's own
// bytes. Extraction never fails on content that merely resembles a known form.
type Facts struct {
	Undecoded string     // why not all of the record could be read, "" if all was
	Tags      [][]byte   // in order of the bytes; an empty one is a tag of no bytes
	Addresses []string   // named in the record's own bytes, as the era writes them; sorted, unique
	Objects   []string   // chain objects (alias, NFT, foundry ids) as the era writes them; sorted, unique
	Tokens    []Token    // native tokens in outputs, in order
	Texts     []string   // readable text of payloads and metadata
	Leaves    []Leaf     // JSON leaves of payloads and metadata
	Payloads  []Span     // payload bytes, as places in Parts[0]
	Facets    []Facet    // what else can be named, by facet and value; sorted, unique
	Moves     []Transfer // of Record.Moves, one an owner and asset; sorted
}

// Facet is one named property: "sender", "recipient", "function", "event", "type", …
type Facet struct{ Name, Value string }

// Transfer is what an owner gained, or lost where negative, of an asset; "" is the base coin.
type Transfer struct {
	Owner, Asset string // as the era writes them
	Amount       Amount
}

// Token is an amount of a native token.
type Token struct {
	ID     string // as the era writes it
	Amount Amount
}

// Leaf is one scalar of a JSON text: its path with dots, array places left out, and its value as
// written (numbers keep their digits, strings are unescaped).
type Leaf struct{ Path, Value string }

// Span is a range of bytes.
type Span struct{ Off, Len int }
