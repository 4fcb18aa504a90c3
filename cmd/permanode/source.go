package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"permanode/ingest"
	"permanode/ingest/archive"
	"permanode/ingest/hornet2"
	"permanode/ingest/iotanode"
	"permanode/ledger"
	"permanode/ledger/rebased"
	"permanode/ledger/stardust"
)

// source is something that --from or a feed named, opened.
type source struct {
	ingest.Source // nil where it only rings
	name          string
	era           ledger.Era
	more          []ingest.Source // further copies that it holds of some units
	feeds         []ingest.Feed
	says          []string // what a person should know of it before it is used
	close         func() error

	// snapshot names the file of the ledger before the first unit; nil where there can be none.
	snapshot func() (string, error)
	// trust makes a trust file of what the source says of its network; unsure is what a person has to compare. nil
	// where it can say nothing.
	trust func(ctx context.Context, snapshots []string) (raw []byte, unsure []string, err error)
}

func plainSources(all []*source) (out []ingest.Source) {
	for _, s := range all {
		if s.Source != nil {
			out = append(out, s.Source)
		}
	}
	for _, s := range all {
		out = append(out, s.more...)
	}
	return out
}

func plainFeeds(all []*source) (out []ingest.Feed) {
	for _, s := range all {
		out = append(out, s.feeds...)
	}
	return out
}

func closeSources(all []*source) (err error) {
	for _, s := range all {
		err = errors.Join(err, s.close())
	}
	return err
}

// wanted says what kinds of source the eras have, for hints.
var wanted = map[ledger.Era]string{
	stardust.Era: "a recording folder (network.json, rest.jsonl.gz), a cone file (permanode export --format cones), or a node's address (http://HOST:PORT, inx://HOST:9029)",
	rebased.Era:  "a folder of checkpoint files (0.chk, 1.chk, …), a checkpoint store (a folder or URL with a MANIFEST), a cone file (permanode export --format cones), or a node's address (grpc://HOST:PORT, http://HOST:PORT)",
}

func notASource(name string, era ledger.Era, tried string, err error) error {
	text := fmt.Sprintf("--from %q is no source: %s", name, tried)
	if err != nil {
		text += ": " + err.Error()
	}
	return usagef("a source is "+wanted[era], "%s", text)
}

// openSource finds out what f.URL is among the kinds of source that codec's era has. The error of something that is
// none of them says what was tried.
func openSource(ctx context.Context, f feedConfig, codec ledger.Codec) (*source, error) {
	era, name := codec.Era(), f.URL
	if strings.Contains(name, "://") {
		return openURL(ctx, f, era)
	}
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, notASource(name, era, "no file or folder has this name", err)
	case info.IsDir():
		return openFolder(ctx, f, era)
	case !info.Mode().IsRegular():
		return nil, notASource(name, era, "it is neither a file nor a folder", nil)
	case era == rebased.Era && strings.HasSuffix(name, ".chk"):
		return openCheckpoints(f)
	}
	cones, err := archive.OpenCones(name, codec)
	if err != nil {
		return nil, notASource(name, era, "it is a file, but no cone file of the era "+string(era), err)
	}
	return &source{Source: cones, name: name, era: era, close: cones.Close}, nil
}

func openURL(ctx context.Context, f feedConfig, era ledger.Era) (*source, error) {
	name := f.URL
	switch {
	case era == stardust.Era && strings.HasPrefix(name, "inx://"):
		return feedTypes[feedINX].open(ctx, f)
	case era == stardust.Era:
		return feedTypes[feedHornet2].open(ctx, f)
	}
	if strings.HasPrefix(name, "http") && strings.HasSuffix(strings.TrimSuffix(name, "/"), "/live") {
		return feedTypes[feedIotaLive].open(ctx, f)
	}
	if strings.HasPrefix(name, "http") {
		s, err := feedTypes[feedIotaStore].open(ctx, f)
		if err == nil || errors.Is(err, iotanode.ErrManifest) {
			return s, err
		}
		return feedTypes[feedIotaREST].open(ctx, f)
	}
	return feedTypes[feedIotaGRPC].open(ctx, f)
}

func openFolder(ctx context.Context, f feedConfig, era ledger.Era) (*source, error) {
	dir := f.URL
	switch {
	case era == stardust.Era && archive.IsFolder(dir):
		return openRecording(dir)
	case era == stardust.Era:
		return nil, notASource(dir, era, "it is a folder, but no recording: network.json or rest.jsonl.gz is not inside", nil)
	}
	store, err := iotanode.IsStore(dir)
	if err != nil {
		return nil, notASource(dir, era, "it is a folder with a MANIFEST", err)
	}
	if store {
		return feedTypes[feedIotaStore].open(ctx, f)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.chk"))
	if err != nil || len(files) == 0 {
		return nil, notASource(dir, era, "it is a folder without a file <number>.chk and without a MANIFEST", err)
	}
	return openCheckpoints(f)
}

func openRecording(dir string) (*source, error) {
	folder, err := archive.OpenFolder(dir)
	if err != nil {
		return nil, notASource(dir, stardust.Era, "its recording cannot be read", err)
	}
	node, err := hornet2.New(hornet2.Config{Name: dir, URL: "http://recording", Transport: folder.Transport()})
	if err != nil {
		return nil, errors.Join(err, folder.Close())
	}
	return &source{
		Source: node, name: dir, era: stardust.Era, close: folder.Close, snapshot: folder.Snapshot,
		trust: func(_ context.Context, snapshots []string) ([]byte, []string, error) {
			raw, err := stardust.TrustFromRecording(folder.Parameters(), snapshots...)
			if err != nil {
				return nil, nil, usagef("a recording folder describes its network in network.json", "%s: %w", dir, err)
			}
			return raw, nil, nil
		},
	}, nil
}

func openCheckpoints(f feedConfig) (*source, error) {
	path := f.URL
	d, err := iotanode.OpenDir(f.iota())
	if err != nil {
		return nil, notASource(path, rebased.Era, "its checkpoint files cannot be read", err)
	}
	return &source{Source: d, name: d.Name(), era: rebased.Era, close: d.Close, trust: noSnapshots(d.Trust)}, nil
}

// openSources opens all of names, or none.
func openSources(ctx context.Context, names []string, memory int64, codec ledger.Codec) (all []*source, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, closeSources(all))
			all = nil
		}
	}()
	for _, name := range names {
		s, err := openSource(ctx, feedConfig{URL: name, memory: memory}, codec)
		if err != nil {
			return all, err
		}
		all = append(all, s)
	}
	return all, nil
}

// anySource opens name as a source of whatever era it is of, by what it answers.
func anySource(ctx context.Context, name string) (*source, error) {
	switch {
	case strings.HasPrefix(name, "inx://"):
		return openURL(ctx, feedConfig{URL: name}, stardust.Era)
	case !strings.HasPrefix(name, "http://") && !strings.HasPrefix(name, "https://"):
		if archive.IsFolder(name) {
			return openRecording(name)
		}
		s, err := openSource(ctx, feedConfig{URL: name}, rebased.Codec{})
		if _, missing := os.Stat(name); err != nil && missing == nil && !strings.HasSuffix(name, ".chk") {
			return nil, usagef("a source is "+wanted[stardust.Era]+"; or "+wanted[rebased.Era],
				"--from %q is no source: it is no recording (network.json or rest.jsonl.gz is not inside), no checkpoint file and no folder or store of them: %w", name, err)
		}
		return s, err
	default:
		limit, cancel := context.WithTimeout(ctx, nodeTime)
		defer cancel()
		s, err := openURL(limit, feedConfig{URL: name}, stardust.Era)
		if err != nil {
			return nil, err
		}
		_, err = s.Info(limit)
		if err == nil || !errors.Is(err, ingest.ErrUnknown) {
			return s, nil
		}
		return openURL(ctx, feedConfig{URL: name}, rebased.Era)
	}
}
