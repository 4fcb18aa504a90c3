package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"permanode/ingest"
	"permanode/ingest/archive"
	"permanode/ingest/hornet2"
	"permanode/ledger"
)

// source is something that --from named, opened.
type source struct {
	ingest.Source
	name   string
	folder *archive.Folder // set for a recording folder
	node   *hornet2.Source // set for a node and a recording folder
	close  func() error
}

// openSource finds out what name is: a node's address, a recording folder or a cone file of the era. The error
// of something that is none of them says what was tried.
func openSource(name string, codec ledger.Codec) (*source, error) {
	if strings.Contains(name, "://") {
		node, err := hornet2.New(hornet2.Config{URL: name})
		if err != nil {
			return nil, usagef("write it like http://127.0.0.1:14265", "--from: %w", err)
		}
		return &source{Source: node, name: node.Name(), node: node, close: func() error { node.Close(); return nil }}, nil
	}
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, notASource(name, "no file or folder has this name", err)
	case info.IsDir():
		return openFolder(name)
	case !info.Mode().IsRegular():
		return nil, notASource(name, "it is neither a file nor a folder", nil)
	}
	cones, err := archive.OpenCones(name, codec)
	if err != nil {
		return nil, notASource(name, "it is a file, but no cone file of the era "+string(codec.Era()), err)
	}
	return &source{Source: cones, name: name, close: cones.Close}, nil
}

func openFolder(dir string) (*source, error) {
	if !archive.IsFolder(dir) {
		return nil, notASource(dir, "it is a folder, but no recording: network.json or rest.jsonl.gz is not inside", nil)
	}
	folder, err := archive.OpenFolder(dir)
	if err != nil {
		return nil, notASource(dir, "its recording cannot be read", err)
	}
	node, err := hornet2.New(hornet2.Config{Name: dir, URL: "http://recording", Transport: folder.Transport()})
	if err != nil {
		return nil, errors.Join(err, folder.Close())
	}
	return &source{Source: node, name: dir, folder: folder, node: node, close: folder.Close}, nil
}

func notASource(name, tried string, err error) error {
	text := fmt.Sprintf("--from %q is no source: %s", name, tried)
	if err != nil {
		text += ": " + err.Error()
	}
	return usagef("a source is a recording folder (network.json, rest.jsonl.gz), a cone file (permanode export --format cones), or a node's address (http://HOST:PORT)", "%s", text)
}

// openSources opens all of names, or none.
func openSources(names []string, codec ledger.Codec) (all []*source, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, closeSources(all))
			all = nil
		}
	}()
	for _, name := range names {
		s, err := openSource(name, codec)
		if err != nil {
			return all, err
		}
		all = append(all, s)
	}
	return all, nil
}

func closeSources(all []*source) (err error) {
	for _, s := range all {
		err = errors.Join(err, s.close())
	}
	return err
}
