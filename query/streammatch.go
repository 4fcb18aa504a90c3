package query

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"permanode/index/lang"
	"permanode/internal/ranges"
	"permanode/ledger"
)

// Watch is a query over some networks, checked, and where a stream of its hits begins. It is read only.
type Watch struct {
	a        *Archive
	all      []Network // of the archive
	networks []Network // that are watched, by name
	node     lang.Node
	text     string // canonical
	asked    [questionLen]byte
	begin    marks // nil: now
}

// StreamRequest is what a stream is asked for.
type StreamRequest struct {
	Query   string // docs/query.md; "": everything
	Network string // "": all
	Cursor  string // of the last message that is there already; "": none is
	Oldest  bool   // without a cursor: begin with the oldest unit, not with what is to come
}

// OpenStream judges a request. It fails with ErrBadCursor and the errors of [Archive.Search].
func (a *Archive) OpenStream(ctx context.Context, r StreamRequest) (*Watch, error) {
	all, err := a.Networks(ctx)
	if err != nil {
		return nil, err
	}
	w := &Watch{a: a, all: all}
	if w.networks, err = a.Select(ctx, r.Network); err != nil {
		return nil, err
	}
	if w.node, _, err = w.binding().read(ctx, r.Query); err != nil {
		return nil, err
	}
	w.text = w.node.String()
	w.asked = streamQuestion(w.text, r.Network)
	switch {
	case r.Cursor != "":
		w.begin, err = parseMarks(r.Cursor, w.networks, w.asked)
	case r.Oldest:
		w.begin = make(marks, len(w.networks))
	}
	return w, err
}

// binding belongs to one goroutine.
func (w *Watch) binding() *binding {
	return &binding{a: w.a, all: w.all, selected: w.networks, known: map[reading][]ledger.Key{}}
}

// Query is the canonical text of the query.
func (w *Watch) Query() string { return w.text }

// names are those of the networks.
func (w *Watch) names() []string {
	names := []string{}
	for _, n := range w.networks {
		names = append(names, n.Name)
	}
	return names
}

// now returns the place behind all that the networks hold, and what they hold.
func (w *Watch) now(ctx context.Context) (m marks, held []ranges.Set, err error) {
	for _, n := range w.networks {
		cov, err := w.a.store.Coverage(ctx, n.ID)
		if err != nil {
			return nil, nil, fmt.Errorf("coverage of %s: %w", n.Name, err)
		}
		at := ledger.Ord{}
		have := cov.Set()
		if r := have.Ranges(); len(r) > 0 {
			at.Seq = r[len(r)-1].Hi + 1
		}
		m, held = append(m, at), append(held, have)
	}
	return m, held, nil
}

// seen is one committed cone, read for whoever watches: its documents, and the rules in force there.
type seen struct {
	n    Network
	cone *ledger.Cone
	size int64

	mu   sync.Mutex  // guards docs, whose facts are read when first needed: one matcher at a time
	docs []*document // in order; the unit itself is the last
}

func (a *Archive) seen(ctx context.Context, n Network, cone *ledger.Cone) (*seen, error) {
	n, err := a.at(ctx, n, cone.Unit.Seq)
	if err != nil {
		return nil, err
	}
	s := &seen{n: n, cone: cone, docs: make([]*document, 0, len(cone.Records)+1)}
	for i := range cone.Records {
		r := &cone.Records[i]
		s.docs = append(s.docs, &document{ord: r.Ord, rec: r, posts: r.Posts})
		for _, p := range r.Parts {
			s.size += int64(len(p.Raw))
		}
	}
	s.docs = append(s.docs, unitDocument(cone))
	return s, nil
}

// matcher finds the hits of a query in cones of one network, without the index. It belongs to one goroutine.
type matcher struct {
	node lang.Node
	bind unitTerms
	look *looker
}

func (w *Watch) matcher(n Network) *matcher {
	in := &bound{Network: n}
	return &matcher{node: w.node, bind: unitTerms{&terms{b: w.binding(), in: in}, nil}, look: w.a.looker(in)}
}

// hits calls do for every hit of s from the place from on and before the place end, in order.
func (m *matcher) hits(ctx context.Context, s *seen, from, end ledger.Ord, do func(Item, ledger.Ord) error) error {
	m.bind.ctx, m.bind.unit = ctx, &s.cone.Unit
	node, err := lang.Bind(m.node, m.bind)
	if err != nil {
		return err
	}
	if _, none := node.(lang.None); none {
		return nil
	}
	named := keysIn(node)
	m.look.rules, m.look.seq, m.look.ready, m.look.unit = s.n, s.cone.Unit.Seq, true, &s.cone.Unit
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.docs {
		if d.ord.Less(from) || !d.ord.Less(end) || d.idle && !namedBy(named, d) {
			continue // a unit that did nothing itself is found by its identifier alone
		}
		yes, err := m.look.matches(ctx, node, d)
		if err != nil {
			return err
		}
		if !yes {
			continue
		}
		item, err := m.look.describe(ctx, d, named)
		if err != nil {
			return err
		}
		if err := do(item, d.ord); err != nil {
			return err
		}
	}
	return nil
}

func namedBy(names []lang.Keys, d *document) bool {
	return slices.ContainsFunc(names, func(keys lang.Keys) bool {
		return slices.ContainsFunc(d.posts, func(p ledger.Posting) bool { return named(keys, p.Key) })
	})
}

// unitTerms says what the terms of a query mean in one unit.
type unitTerms struct {
	*terms
	unit *ledger.Unit
}

// Term is the Binder of one unit: a time is true of it or not, whatever else is committed.
func (t unitTerms) Term(n lang.Node) (lang.Node, error) {
	if time, ok := n.(lang.Time); ok {
		if time.FromMs <= t.unit.TimeMs && t.unit.TimeMs < time.ToMs {
			return lang.All{}, nil
		}
		return lang.None{}, nil
	}
	return t.terms.Term(n)
}
