package main

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"

	"permanode/ingest"
	"permanode/ingest/hornet2"
	"permanode/ingest/iotanode"
	"permanode/ledger"
	"permanode/ledger/rebased"
	"permanode/ledger/stardust"
)

// The feed types: node software and wire.
const (
	feedHornet2   = "hornet2-rest"
	feedMQTT      = "hornet2-mqtt"
	feedINX       = "hornet2-inx"
	feedIotaGRPC  = "iota-grpc"
	feedIotaREST  = "iota-rest"
	feedIotaDir   = "iota-dir"
	feedIotaStore = "iota-store"
	feedIotaLive  = "iota-live"
)

// feedType is one wire of one node software.
type feedType struct {
	era     ledger.Era
	path    bool // its url may be a path
	bell    bool // rings and brings copies, and cannot be asked
	example string
	open    func(ctx context.Context, f feedConfig) (*source, error)
}

// feedTypes is the one list of what a config may name and --from may find.
var feedTypes map[string]feedType

func init() { // refers to itself through openURL
	feedTypes = map[string]feedType{
		feedHornet2:  {era: stardust.Era, example: "http://127.0.0.1:14265", open: openHornet2},
		feedMQTT:     {era: stardust.Era, bell: true, example: "ws://127.0.0.1:14265/api/mqtt/v1", open: openMQTT},
		feedINX:      {era: stardust.Era, example: "inx://127.0.0.1:9029", open: openINX},
		feedIotaGRPC: {era: rebased.Era, example: "grpc://127.0.0.1:50051", open: openIotaGRPC},
		feedIotaREST: {era: rebased.Era, example: "http://127.0.0.1:9000", open: openIotaREST},
		feedIotaDir: {
			era: rebased.Era, path: true, example: "/var/lib/iota/ingestion",
			open: func(_ context.Context, f feedConfig) (*source, error) { return openCheckpoints(f) },
		},
		feedIotaStore: {era: rebased.Era, path: true, example: "https://checkpoints.example.org/ingestion/historical", open: openIotaStore},
		feedIotaLive:  {era: rebased.Era, example: "https://checkpoints.example.org/ingestion/live", open: openIotaLive},
	}
}

// feedTypesOf lists the types of an era, sorted.
func feedTypesOf(era ledger.Era) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(feedTypes)) {
		if feedTypes[name].era == era {
			names = append(names, name)
		}
	}
	return names
}

// askableTypesOf lists those that can be asked.
func askableTypesOf(era ledger.Era) []string {
	return slices.DeleteFunc(feedTypesOf(era), func(name string) bool { return feedTypes[name].bell })
}

func openHornet2(_ context.Context, f feedConfig) (*source, error) {
	node, err := hornet2.New(hornet2.Config{Name: f.Name, URL: f.URL, Timeout: f.timeout})
	if err != nil {
		return nil, usagef("write it like "+feedTypes[feedHornet2].example, "%s: %w", f.URL, err)
	}
	return &source{
		Source: node, name: node.Name(), era: stardust.Era, close: func() error { node.Close(); return nil },
		trust: func(ctx context.Context, snapshots []string) ([]byte, []string, error) {
			raw, err := node.Trust(ctx, snapshots)
			if err != nil {
				return nil, nil, err
			}
			return withLines(raw, "signers of its oldest and newest unit:")
		},
	}, nil
}

// withLines adds to a trust file what a person has to compare. what says where its keys come from.
func withLines(raw []byte, what string) ([]byte, []string, error) {
	t, err := stardust.Codec{}.ParseTrust(raw)
	if err != nil {
		return nil, nil, err
	}
	return raw, trustLines(t, what), nil
}

func openMQTT(_ context.Context, f feedConfig) (*source, error) {
	feed, err := hornet2.NewMQTT(hornet2.MQTTConfig{Name: f.Name, URL: f.URL, Timeout: f.timeout, Pause: f.pause})
	if err != nil {
		return nil, usagef("write it like "+feedTypes[feedMQTT].example, "%w", err)
	}
	return &source{name: feed.Name(), era: stardust.Era, feeds: []ingest.Feed{feed}, close: func() error { return nil }}, nil
}

func openINX(_ context.Context, f feedConfig) (*source, error) {
	c := hornet2.INXConfig{Name: f.Name, Address: f.URL, Timeout: f.timeout, MaxBytes: f.memory / 4}
	node, err := hornet2.NewINX(c)
	if err != nil {
		return nil, usagef("write it like "+feedTypes[feedINX].example, "%w", err)
	}
	return &source{
		Source: node, name: node.Name(), era: stardust.Era, feeds: []ingest.Feed{node.Feed()}, close: node.Close,
		trust: func(ctx context.Context, snapshots []string) ([]byte, []string, error) {
			raw, err := node.Trust(ctx, snapshots)
			if err != nil {
				return nil, nil, err
			}
			return withLines(raw, "keys of its coordinator, as the node is configured:")
		},
	}, nil
}

func openIotaGRPC(_ context.Context, f feedConfig) (*source, error) {
	node, err := iotanode.NewGRPC(f.iota())
	if err != nil {
		return nil, usagef("write it like "+feedTypes[feedIotaGRPC].example, "%s: %w", f.URL, err)
	}
	return &source{Source: node, name: node.Name(), era: rebased.Era, feeds: []ingest.Feed{node.Feed()}, close: node.Close, trust: noSnapshots(node.Trust)}, nil
}

func openIotaREST(_ context.Context, f feedConfig) (*source, error) {
	node, err := iotanode.NewREST(f.iota())
	if err != nil {
		return nil, usagef("write it like "+feedTypes[feedIotaREST].example, "%s: %w", f.URL, err)
	}
	return &source{Source: node, name: node.Name(), era: rebased.Era, close: node.Close, trust: noSnapshots(node.Trust)}, nil
}

func openIotaLive(_ context.Context, f feedConfig) (*source, error) {
	store, err := iotanode.NewLive(f.iota())
	if err != nil {
		return nil, usagef("write it like "+feedTypes[feedIotaLive].example, "%s: %w", f.URL, err)
	}
	return &source{Source: store, name: store.Name(), era: rebased.Era, close: store.Close}, nil
}

func openIotaStore(ctx context.Context, f feedConfig) (*source, error) {
	store, err := iotanode.OpenStore(ctx, f.iota())
	if errors.Is(err, iotanode.ErrManifest) {
		return nil, usagef("get the store's MANIFEST again, whole", "%s: %w", f.URL, err)
	}
	if err != nil {
		return nil, err
	}
	s := &source{Source: store, name: store.Name(), era: rebased.Era, close: store.Close}
	copies, err := store.Copies(ctx)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	for _, c := range copies {
		s.more = append(s.more, c)
	}
	if s.says, err = store.Report(ctx); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return s, nil
}

// noSnapshots makes a trust function of one that knows no snapshots.
func noSnapshots(trust func(context.Context) ([]byte, []string, error)) func(context.Context, []string) ([]byte, []string, error) {
	return func(ctx context.Context, snapshots []string) ([]byte, []string, error) {
		if len(snapshots) > 0 {
			return nil, nil, usagef("leave --snapshot out", "a network of this era begins with checkpoint 0, not with a snapshot")
		}
		return trust(ctx)
	}
}

// iota divides the memory of a network: a quarter is for the largest cone, which checkpoint 0 is.
func (f *feedConfig) iota() iotanode.Config {
	return iotanode.Config{
		Name: f.Name, Address: f.URL, Timeout: f.timeout,
		MaxGenesis: f.memory / 4, MaxBytes: min(f.memory/4, 64<<20), Window: min(f.memory/16, 64<<20),
	}
}

func (f *feedConfig) check(at string, era ledger.Era, ps *problems) {
	if err := checkName(f.Name); err != nil {
		ps.add(at+".name", f.Name, err.Error(), "choose another")
	}
	kind, ok := feedTypes[f.Type]
	if types := feedTypesOf(era); !ok || kind.era != era && len(types) > 0 {
		if len(types) == 0 {
			types = slices.Sorted(maps.Keys(feedTypes))
		}
		ps.add(at+".type", f.Type, "is no feed type of the era "+string(era), "use "+strings.Join(types, ", "))
		if kind.era != era && len(feedTypesOf(era)) > 0 {
			return // what its address should be is not known
		}
	}
	if err := f.checkURL(kind); err != nil {
		ps.add(at+".url", redact(f.URL), err.Error(), "write it like "+cmp.Or(kind.example, feedTypes[feedHornet2].example))
	}
}

// checkURL judges the address alone: nobody is asked.
func (f *feedConfig) checkURL(kind feedType) error {
	u, err := url.Parse(f.URL)
	switch {
	case f.URL == "":
		return errors.New("is empty")
	case err != nil:
		return errors.New("is no address")
	case kind.path && !strings.Contains(f.URL, "://"):
		return nil
	case f.Type == feedIotaDir:
		return errors.New("is no path of a folder")
	case f.Type == feedIotaGRPC && (u.Scheme != "grpc" && u.Scheme != "grpcs" || u.Port() == "" || u.Path != "" && u.Path != "/"):
		return errors.New("is no address of a gRPC service")
	case f.Type == feedIotaGRPC:
		return nil
	case f.Type == feedMQTT:
		_, err := hornet2.NewMQTT(hornet2.MQTTConfig{URL: f.URL})
		return err
	case f.Type == feedINX:
		node, err := hornet2.NewINX(hornet2.INXConfig{Address: f.URL})
		if err == nil {
			err = node.Close()
		}
		return err
	}
	_, err = hornet2.New(hornet2.Config{URL: f.URL}) // judges any http address
	return err
}
