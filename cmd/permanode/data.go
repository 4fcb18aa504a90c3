package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"permanode/ledger/eras"
	"permanode/query"
	"permanode/storage"
	"permanode/storage/pebblestore"
)

// dataFlags say which archive a command reads, which network of it, and in which form it answers.
type dataFlags struct {
	data, config, network string
	serverFlags
	json    bool
	command string // "permanode status", for hints
	asks    bool   // the command takes --server
	instead string // of the command, while a service holds the directory
}

func (d *dataFlags) add(c *cobra.Command, withJSON bool) {
	c.Flags().StringVar(&d.data, "data", "", "directory of the archive")
	c.Flags().StringVar(&d.config, "config", "", "config file that names it (instead of --data)")
	d.command = c.Name()
	c.Flags().StringVar(&d.network, "network", "", "one network (default: all)")
	if withJSON {
		c.Flags().BoolVar(&d.json, "json", false, "one JSON object a line")
	}
}

// where returns the directory and the memory that the flags, config or environment name.
func (d *dataFlags) where() (dir string, memory byteSize, err error) {
	if d.network != "" {
		if err := checkName(d.network); err != nil {
			return "", 0, usagef("permanode coverage lists the networks", "--network %q %w", d.network, err)
		}
	}
	if memory, err = memoryFromEnvironment(); err != nil {
		return "", 0, err
	}
	env := os.Getenv(envName("data_dir"))
	switch {
	case d.data != "" && d.config != "":
		return "", 0, usagef("leave one of them out", "--data and --config both name an archive")
	case d.config != "":
		c, err := readConfig(d.config)
		if err != nil {
			return "", 0, err
		}
		return c.DataDir, max(c.Memory, minMemory), nil
	case d.data != "":
		return d.data, memory, nil
	case env != "":
		return env, memory, nil
	}
	return "", 0, usagef("give --data DIR, --config FILE or "+envName("data_dir"), "no archive is named")
}

// lockedError says how to ask the service that holds a directory.
type lockedError struct {
	err     error
	asking  string // the command that asks it; "" where none does
	instead string // what else to do; "" where there is nothing
	listen  string // "" where no config names it
}

func (e *lockedError) Error() string { return e.err.Error() }
func (e *lockedError) Unwrap() error { return e.err }

// explain adds to an error of a store that another process holds how to ask that process.
func (d *dataFlags) explain(err error) error {
	if !errors.Is(err, storage.ErrLocked) {
		return err
	}
	locked := &lockedError{err: err, listen: d.listen(), instead: d.instead}
	if d.asks {
		locked.asking = d.command
	}
	return locked
}

// Hint is the next step.
func (e *lockedError) Hint() string {
	at, unless := e.listen, ""
	if at == "" {
		at, unless = "127.0.0.1:8080", " (or the address that its config names as api.listen)"
	}
	if e.instead != "" {
		return e.instead
	}
	if e.asking != "" {
		return fmt.Sprintf("a service holds it: ask the service: permanode %s --server http://%s%s", e.asking, at, unless)
	}
	return fmt.Sprintf("a service holds it: stop it first, or ask it: permanode status --server http://%s%s; curl http://%s/readyz", at, unless, at)
}

// listen returns the API address of the config that d names, "" if none.
func (d *dataFlags) listen() string {
	if d.config == "" {
		return ""
	}
	c, err := readConfig(d.config)
	if err != nil {
		return ""
	}
	return c.API.Listen
}

// memoryFromEnvironment returns what a command without a config may use.
func memoryFromEnvironment() (byteSize, error) {
	text := os.Getenv(envName("memory"))
	if text == "" {
		return defaultMemory, nil
	}
	n, err := parseSize(text)
	if err == nil && n < minMemory {
		err = fmt.Errorf("%q is less than 64 MiB, in which nothing works", text)
	}
	if err != nil {
		return 0, usagef("write it like 512MiB or 2GiB", "%s: %w", envName("memory"), err)
	}
	return n, nil
}

// quarantine is where refused bytes are kept, for a person to look at.
func quarantine(dataDir string) string { return filepath.Join(dataDir, "quarantine") }

// noFile refuses a file where the directory of an archive is asked for.
func (p *program) noFile(dir string) error {
	if info, err := os.Stat(dir); p.fs == nil && err == nil && !info.IsDir() {
		return usagef("name the directory that holds the archive", "%s is a file, and an archive is a directory", dir)
	}
	return nil
}

// open opens the store in dir. A store that is read is never changed and never made.
func (p *program) open(dir string, memory byteSize, readOnly bool, log *slog.Logger) (*pebblestore.DB, error) {
	if err := p.noFile(dir); err != nil {
		return nil, err
	}
	useMemory(memory)
	db, err := pebblestore.Open(dir, pebblestore.Options{
		Codec: eras.Codec, Memory: int64(memory), FS: p.fs, ReadOnly: readOnly, Log: log, Keep: []string{accessFolder},
	})
	if err != nil {
		return nil, err // it names the directory
	}
	if changed := db.Beside(accessFolder); len(changed) > 0 && !readOnly { // said here too, since a kill loses what SUMS says
		log.Warn("the access trail is not as the last clean stop left it", "files", len(changed), "first", changed[0].Name, "why", changed[0].Why, "hint", "permanode check --access")
	}
	return db, nil
}

// read opens the archive that d names and hands it to do, with the networks that d selects.
func (p *program) read(c *cobra.Command, d *dataFlags, do func(*query.Archive, []query.Network) error) error {
	return p.readStore(c, d, func(_ storage.Reader, a *query.Archive, networks []query.Network) error { return do(a, networks) })
}

// readStore is read for commands that need the store beside the archive.
func (p *program) readStore(c *cobra.Command, d *dataFlags, do func(storage.Reader, *query.Archive, []query.Network) error) (err error) {
	dir, memory, err := d.where()
	if err != nil {
		return err
	}
	db, err := p.open(dir, memory, true, p.logger(slog.LevelWarn))
	if err != nil {
		return d.explain(err)
	}
	defer closing(c.Context(), &err, db.Close)
	archive := query.New(db, eras.Codec)
	networks, err := archive.Select(c.Context(), d.network)
	if err != nil {
		return err
	}
	return do(db, archive, networks)
}
