package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"permanode/ingest"
	"permanode/internal/replay"
	"permanode/internal/replay/iotareplay"
	"permanode/ledger"
	"permanode/ledger/eras"
	"permanode/ledger/rebased"
	"permanode/ledger/stardust"
	"permanode/query"
	"permanode/testdata"
)

// demoNet is one of the networks of the demo: what collects it, and how it is told about.
type demoNet struct {
	what, at string // the node, in a sentence, and its address
	ingest.Config
	node   *livingNode // nil where nothing goes on
	count  func(n query.Network, c *demoCount, cone *ledger.Cone) error
	close  func() error
	took   time.Duration
	pulled uint64
}

// demoBegin is the newest milestone that the node of the demo has when it starts; the others come while it runs.
const demoBegin = 75

// demoPause is how long the feeds of the demo wait at most to connect again: a stranger with the plug in the hand
// waits too.
const demoPause = 2 * time.Second

// demoStardust serves the recording of a real Hornet node, which goes on at pace from where it begins, or from where the
// archive in dir already is.
func demoStardust(p *program, pace time.Duration, held func(network string) uint64) (_ *demoNet, err error) {
	files, err := fs.Sub(testdata.Recordings, "recordings/stardust")
	if err != nil {
		return nil, err
	}
	rec, err := replay.OpenRecording(files)
	if err != nil {
		return nil, err
	}
	end := func() error { return rec.Close() }
	defer func() {
		if err != nil {
			err = errors.Join(err, end())
		}
	}()
	trust, snapshot, remove, err := demoLedger(files, rec.Parameters)
	if err != nil {
		return nil, err
	}
	end = func() error { remove(); return rec.Close() }
	node := replay.NewNode(rec)
	node.SetTip(max(demoBegin, held(networkName(trust))))
	inx, err := replay.NewINX(node)
	if err != nil {
		return nil, err
	}
	living, err := newLivingNode(node, rec.Last, pace, p.say, restWire(node), inxWire(inx))
	if err != nil {
		return nil, err
	}
	all, err := demoFeeds(living)
	if err != nil {
		living.close()
		return nil, err
	}
	return &demoNet{
		what: "a node of the Stardust tangle " + trust.Name + ", recorded,", at: living.wires[0].url() + " and " + living.wires[1].url(),
		Config: ingest.Config{
			Codec: stardust.Codec{}, Trust: trust, Sources: plainSources(all), Feeds: plainFeeds(all), Snapshot: []string{snapshot},
		},
		node:  living,
		count: countStardust,
		close: func() error {
			living.close()
			return errors.Join(closeSources(all), end())
		},
	}, nil
}

// demoFeeds opens the three ways to the node: as the config of a service would name them.
func demoFeeds(n *livingNode) (all []*source, err error) {
	rest, inx := n.wires[0].url(), n.wires[1].url()
	for _, f := range []feedConfig{
		{Name: "node-rest", Type: feedHornet2, URL: rest},
		{Name: "node-mqtt", Type: feedMQTT, URL: strings.Replace(rest, "http://", "ws://", 1), pause: demoPause},
		{Name: "node-inx", Type: feedINX, URL: inx},
	} {
		s, err := feedTypes[f.Type].open(context.Background(), f)
		if err != nil {
			return nil, errors.Join(err, closeSources(all))
		}
		all = append(all, s)
	}
	return all, nil
}

func inxWire(x *replay.INX) *wire {
	return &wire{name: "INX", form: "inx://%s", start: func(addr string) (string, func(), error) {
		s, err := x.Serve(addr)
		if err != nil {
			return "", nil, err
		}
		return s.Addr(), s.Stop, nil
	}}
}

// restWire is the node's REST, with MQTT over WebSocket on the same port, as a Hornet node has them.
func restWire(node *replay.Node) *wire {
	return &wire{name: "REST, MQTT", form: "http://%s", start: func(addr string) (string, func(), error) {
		broker := replay.NewBroker(node, replay.BrokerConfig{})
		if err := broker.Start(nil); err != nil {
			return "", nil, err
		}
		mux := http.NewServeMux()
		mux.Handle(replay.BrokerPath, broker)
		mux.Handle("/", node)
		at, stop, err := serveHandler(addr, mux)
		if err != nil {
			return "", nil, errors.Join(err, broker.Stop())
		}
		return at, func() {
			stop()
			_ = broker.Stop() // it has no more connections; how it ends is no matter of the archive
		}, nil
	}}
}

// demoRebased serves a constructed chain of checkpoints as a node's gRPC service.
func demoRebased(ctx context.Context) (*demoNet, error) {
	files, err := fs.Sub(testdata.Recordings, "vectors/rebased/checkpoints/mininet-a")
	if err != nil {
		return nil, err
	}
	chain, err := iotareplay.Open(files)
	if err != nil {
		return nil, err
	}
	raw, err := fs.ReadFile(files, "committee_epoch0.json")
	if err != nil {
		return nil, err
	}
	spec, err := rebased.ParseCommitteeFile(raw)
	if err != nil {
		return nil, err
	}
	text, err := rebased.NewTrust(spec)
	if err != nil {
		return nil, err
	}
	trust, err := rebased.Codec{}.ParseTrust(text)
	if err != nil {
		return nil, err
	}
	server, err := iotareplay.NewNode(chain).Serve("127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("the demo's node: %w", err)
	}
	node, err := feedTypes[feedIotaGRPC].open(ctx, feedConfig{URL: "grpc://" + server.Addr()})
	if err != nil {
		server.Stop()
		return nil, err
	}
	return &demoNet{
		what: "a node of a small Rebased network, constructed,", at: node.name,
		Config: ingest.Config{Codec: rebased.Codec{}, Trust: trust, Sources: []ingest.Source{node.Source}},
		count:  countRebased,
		close: func() error {
			err := node.close()
			server.Stop()
			return err
		},
	}, nil
}

// demoLedger makes the trust file of the recording and a file of its snapshot, which remove takes away.
func demoLedger(files fs.FS, parameters []byte) (trust ledger.Trust, snapshot string, remove func(), err error) {
	raw, err := fs.ReadFile(files, demoSnapshot)
	if err != nil {
		return trust, "", nil, fmt.Errorf("bundled recording: %w", err)
	}
	sum := sha256.Sum256(raw)
	text, err := stardust.TrustFromRecording(parameters, hex.EncodeToString(sum[:]))
	if err != nil {
		return trust, "", nil, fmt.Errorf("bundled recording: %w", err)
	}
	if trust, err = eras.ParseTrust(text); err != nil {
		return trust, "", nil, fmt.Errorf("bundled recording: %w", err)
	}
	dir, err := os.MkdirTemp("", "permanode-demo-*")
	if err != nil {
		return trust, "", nil, fmt.Errorf("room for the snapshot: %w", err)
	}
	remove = func() { _ = os.RemoveAll(dir) }
	snapshot = filepath.Join(dir, demoSnapshot)
	if err := os.WriteFile(snapshot, raw, 0o600); err != nil {
		remove()
		return trust, "", nil, fmt.Errorf("room for the snapshot: %w", err)
	}
	return trust, snapshot, remove, nil
}
