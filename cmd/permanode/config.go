package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
	yaml "go.yaml.in/yaml/v3"

	"permanode/internal/durable"
	"permanode/ledger"
	"permanode/ledger/eras"
	"permanode/ledger/rebased"
)

// config is the config file. config.example.yaml explains each key.
type config struct {
	DataDir  string          `mapstructure:"data_dir"`
	Memory   byteSize        `mapstructure:"memory"`
	Networks []networkConfig `mapstructure:"networks"`
	Index    indexConfig     `mapstructure:"index"`
	API      apiConfig       `mapstructure:"api"`
	Metrics  metricsConfig   `mapstructure:"metrics"`
	LogLevel string          `mapstructure:"log_level"`

	file   string
	origin map[string]string // of each key that can be left out: "file", "environment" or "default"
}

type networkConfig struct {
	Name     string       `mapstructure:"name"`
	Era      string       `mapstructure:"era"`
	Trust    string       `mapstructure:"trust"`
	Snapshot []string     `mapstructure:"snapshot"`
	Follows  string       `mapstructure:"follows"`
	Start    uint64       `mapstructure:"start"`
	Feeds    []feedConfig `mapstructure:"feeds"`
}

type feedConfig struct {
	Name string `mapstructure:"name"`
	Type string `mapstructure:"type"`
	URL  string `mapstructure:"url"` // or a path, for types that have one

	timeout time.Duration // for one answer; 0 means the feed's default
	pause   time.Duration // longest between two attempts to connect; 0 means the feed's default
	memory  int64         // of its network; 0 means the feed's defaults
}

type indexConfig struct {
	Text bool `mapstructure:"text"`
}

type apiConfig struct {
	Listen     string   `mapstructure:"listen"`
	KeysFile   string   `mapstructure:"keys_file"` // "": no keys, for this machine alone
	TLSCert    string   `mapstructure:"tls_cert"`  // "": no TLS
	TLSKey     string   `mapstructure:"tls_key"`
	CORS       []string `mapstructure:"cors"`        // origins of web pages that may read answers
	Rate       uint32   `mapstructure:"rate"`        // requests a second of one key; 0: no limit
	SearchRate uint32   `mapstructure:"search_rate"` // searches among them
}

type metricsConfig struct {
	Listen string `mapstructure:"listen"` // "": none
}

// byteSize is a number of bytes, written with a unit of 1024.
type byteSize int64

const (
	envPrefix     = "PERMANODE"
	maxConfig     = 1 << 20
	defaultMemory = byteSize(2 << 30)
	minMemory     = byteSize(64 << 20)
)

// scalars are the keys that the environment can set, with their defaults: the only list of both.
var scalars = []struct{ key, value string }{
	{"data_dir", "./data"},
	{"memory", "2GiB"},
	{"index.text", "true"},
	{"api.listen", "127.0.0.1:8080"},
	{"api.keys_file", ""},
	{"api.tls_cert", ""},
	{"api.tls_key", ""},
	{"api.rate", "50"},
	{"api.search_rate", "5"},
	{"metrics.listen", "127.0.0.1:9090"},
	{"log_level", "info"},
}

func envName(key string) string {
	return envPrefix + "_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// A configProblem is one thing that is wrong in a config.
type configProblem struct {
	key, value, reason, remedy string
	file                       bool // about a file that the key names
}

func (c *configProblem) Error() string {
	at := c.key
	if c.value != "" {
		at += " = " + c.value
	}
	return fmt.Sprintf("%s: %s; %s", at, c.reason, c.remedy)
}

// problems gathers everything that is wrong, so that one look at the output is enough.
type problems []error

func (ps *problems) add(key string, value any, reason, remedy string) {
	text := ""
	if value != nil {
		text = fmt.Sprintf("%q", fmt.Sprint(value))
	}
	*ps = append(*ps, &configProblem{key, text, reason, remedy, false})
}

// addFile adds one about the keys file, the certificate or a trust file: doctor has a line of its own for each.
func (ps *problems) addFile(key, file, reason, remedy string) {
	*ps = append(*ps, &configProblem{key, strconv.Quote(file), reason, remedy, true})
}

// others are those that are not about such a file.
func (ps problems) others() problems {
	return slices.DeleteFunc(slices.Clone(ps), func(err error) bool {
		var p *configProblem
		return errors.As(err, &p) && p.file
	})
}

func (ps problems) err(file string) error {
	if len(ps) == 0 {
		return nil
	}
	return usagef(fmt.Sprintf("%d problem(s) in %s; permanode config init shows every key", len(ps), file), "%w", errors.Join(ps...))
}

// readConfig reads a file and the environment. Nothing is judged beyond form: unknown keys, wrong types, sizes.
func readConfig(file string) (*config, error) {
	raw, err := durable.ReadFile(file, maxConfig)
	if err != nil {
		return nil, usagef("permanode config init -o FILE writes one that works", "config file: %w", err)
	}
	if err := oneDocument(raw); err != nil {
		return nil, usagef("permanode config init shows a whole file", "config file %s: %w", file, err)
	}
	v := viper.New()
	v.SetConfigType("yaml")
	v.SetEnvPrefix(envPrefix)
	v.SetEnvKeyReplacer(strings.NewReplacer(".", "_"))
	v.AutomaticEnv()
	for _, s := range scalars {
		v.SetDefault(s.key, s.value)
	}
	if err := v.ReadConfig(bytes.NewReader(raw)); err != nil {
		return nil, usagef("permanode config init shows a whole file", "config file %s: %w", file, err)
	}
	c := &config{file: file, origin: map[string]string{}}
	var ps problems
	decode(v, c, &ps)
	if err := ps.err(file); err != nil {
		return nil, err
	}
	for _, s := range scalars {
		c.origin[s.key] = "default"
		if v.InConfig(s.key) {
			c.origin[s.key] = "file"
		}
		if os.Getenv(envName(s.key)) != "" {
			c.origin[s.key] = "environment"
		}
	}
	c.given(v)
	path, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	c.resolve(filepath.Dir(path))
	return c, nil
}

// given takes note of which keys that the environment cannot set stand in the file.
func (c *config) given(v *viper.Viper) {
	note := func(key string, there bool) {
		if c.origin[key] = "default"; there {
			c.origin[key] = "file"
		}
	}
	note("api.cors", v.InConfig("api.cors"))
	networks, _ := v.Get("networks").([]any)
	for i := range c.Networks {
		keys := map[string]any{}
		if i < len(networks) {
			keys, _ = networks[i].(map[string]any)
		}
		for _, key := range []string{"snapshot", "follows", "start"} {
			_, there := keys[key]
			note(fmt.Sprintf("networks[%d].%s", i, key), there)
		}
	}
}

// oneDocument refuses a second YAML document, which a decoder would drop without a word, and a file that is no map.
func oneDocument(raw []byte) error {
	d := yaml.NewDecoder(bytes.NewReader(raw))
	var doc map[string]any
	if err := d.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return errors.New("it is empty")
		}
		return err
	}
	if err := d.Decode(&doc); !errors.Is(err, io.EOF) {
		return errors.New("it holds a second document (a line ---): only one is read")
	}
	return nil
}

func decode(v *viper.Viper, c *config, ps *problems) {
	var md mapstructure.Metadata
	err := v.Unmarshal(c, func(dc *mapstructure.DecoderConfig) {
		dc.Metadata, dc.WeaklyTypedInput = &md, false
		dc.DecodeHook = mapstructure.ComposeDecodeHookFunc(sizeHook, boolHook, numberHook, listHook)
	})
	for _, key := range md.Unused {
		name := key[strings.LastIndex(key, ".")+1:]
		ps.add(key, nil, "is no key of the config", nearestKey(name))
	}
	for _, e := range flatten(err) {
		var at *mapstructure.DecodeError
		if !errors.As(e, &at) {
			ps.add("config", nil, e.Error(), "correct it")
			continue
		}
		reason, value := decodeReason(at.Unwrap())
		ps.add(at.Name(), value, reason, "correct it")
	}
}

// flatten returns the leaves of joined errors: the innermost that know which key they are about.
func flatten(err error) (all []error) {
	switch e := err.(type) {
	case nil:
	case interface{ Unwrap() []error }:
		for _, part := range e.Unwrap() {
			all = append(all, flatten(part)...)
		}
	case *mapstructure.DecodeError:
		var inner *mapstructure.DecodeError
		if errors.As(e.Unwrap(), &inner) {
			return flatten(e.Unwrap())
		}
		return []error{e}
	default:
		if next := errors.Unwrap(err); next != nil {
			return flatten(next)
		}
		return []error{err}
	}
	return all
}

func decodeReason(err error) (reason string, value any) {
	var wrong *mapstructure.UnconvertibleTypeError
	if errors.As(err, &wrong) {
		return fmt.Sprintf("must be %s, not %s", kindWord(wrong.Expected.Type()), valueWord(wrong.Value)), wrong.Value
	}
	return err.Error(), nil
}

func kindWord(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Slice:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "a group of keys"
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	}
	return "a number that is not negative"
}

func valueWord(v any) string {
	if v == nil {
		return "nothing"
	}
	switch reflect.TypeOf(v).Kind() {
	case reflect.Slice:
		return "a list"
	case reflect.Map:
		return "a group of keys"
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	}
	return "a number"
}

// sizeHook reads memory: a number of bytes, or one with a unit.
func sizeHook(_, to reflect.Type, v any) (any, error) {
	if to != reflect.TypeFor[byteSize]() {
		return v, nil
	}
	return parseSize(fmt.Sprint(v))
}

// boolHook reads true and false from the environment, where every value is a text.
func boolHook(from, to reflect.Type, v any) (any, error) {
	if to.Kind() != reflect.Bool || from.Kind() != reflect.String {
		return v, nil
	}
	switch v {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return nil, fmt.Errorf("%q is neither true nor false", v)
}

// numberHook reads a number from the environment, where every value is a text.
func numberHook(from, to reflect.Type, v any) (any, error) {
	if to.Kind() != reflect.Uint32 || from.Kind() != reflect.String {
		return v, nil
	}
	n, err := strconv.ParseUint(v.(string), 10, 20)
	if err != nil {
		return nil, fmt.Errorf("%q is no whole number up to a million", v)
	}
	return n, nil
}

var sizeForm = regexp.MustCompile(`^([0-9]{1,15}) *(B|KiB|MiB|GiB|TiB)?$`)

func parseSize(text string) (byteSize, error) {
	m := sizeForm.FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("%q is no size: write it like 512MiB or 2GiB", text)
	}
	n, _ := strconv.ParseInt(m[1], 10, 64) // fifteen digits fit
	for range strings.Index("BKMGT", (m[2] + "B")[:1]) {
		if n <<= 10; n > 1<<50 {
			return 0, fmt.Errorf("%q is more than any machine has: write it like 512MiB or 2GiB", text)
		}
	}
	return byteSize(n), nil
}

// listHook lets a key that holds a list be written as one text; an empty text is an empty list.
func listHook(from, to reflect.Type, v any) (any, error) {
	text, ok := v.(string)
	switch {
	case !ok || to != reflect.TypeFor[[]string]():
		return v, nil
	case text == "":
		return []string{}, nil
	}
	return []string{text}, nil
}

// nearestKey suggests what a misspelt key was meant to be.
func nearestKey(name string) string {
	known := []string{"data_dir", "memory", "networks", "index", "text", "api", "metrics", "listen", "keys_file", "tls_cert", "tls_key", "cors", "rate", "search_rate", "log_level", "name", "era", "trust", "snapshot", "follows", "start", "feeds", "type", "url"}
	best, least := "", len(name)/3+2
	for _, k := range known {
		if d := editDistance(name, k); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return "known keys are " + strings.Join(known, ", ")
	}
	return fmt.Sprintf("did you mean %s?", best)
}

func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// resolve makes paths absolute: relative ones are relative to the folder of the config file, or of the process where
// the environment gave them.
func (c *config) resolve(dir string) {
	in := func(path string) string {
		if path == "" || filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(dir, path)
	}
	for key, path := range map[string]*string{
		"data_dir": &c.DataDir, "api.keys_file": &c.API.KeysFile, "api.tls_cert": &c.API.TLSCert, "api.tls_key": &c.API.TLSKey,
	} {
		if c.origin[key] != "environment" {
			*path = in(*path)
		}
	}
	for i := range c.Networks {
		n := &c.Networks[i]
		if !slices.Contains(eras.BuiltInNames(), n.Trust) {
			n.Trust = in(n.Trust)
		}
		for j := range n.Snapshot {
			n.Snapshot[j] = in(n.Snapshot[j])
		}
		for j := range n.Feeds {
			if f := &n.Feeds[j]; feedTypes[f.Type].path && !strings.Contains(f.URL, "://") {
				f.URL = in(f.URL)
			}
		}
	}
}

// check returns all that is wrong with c, as one error.
func (c *config) check(file string) error { return c.problems().err(file) }

// problems returns all that is wrong with c. It reads keys, certificate and trust files and looks whether snapshot files
// are there.
func (c *config) problems() (ps problems) {
	if c.DataDir == "" {
		ps.add("data_dir", "", "is empty", "name the directory of the archive")
	}
	if c.Memory < minMemory {
		ps.add("memory", int64(c.Memory), "is less than 64 MiB, in which nothing works", "write it like 512MiB or 2GiB")
	}
	c.API.check(&ps)
	if err := new(slog.Level).UnmarshalText([]byte(c.LogLevel)); err != nil {
		ps.add("log_level", c.LogLevel, "is no level", "use debug, info, warn or error")
	}
	if err := checkMetricsListen(c.Metrics.Listen); err != nil {
		ps.add("metrics.listen", c.Metrics.Listen, err.Error(), "write it like 127.0.0.1:9090, or \"\" for none")
	}
	if _, port, err := net.SplitHostPort(c.Metrics.Listen); err == nil && port != "0" && c.Metrics.Listen == c.API.Listen {
		ps.add("metrics.listen", c.Metrics.Listen, "is the address of the API too", "choose another port, or \"\" for none")
	}
	if len(c.Networks) == 0 {
		ps.add("networks", nil, "is empty: nothing would be collected", "name at least one")
	}
	names := map[string]bool{}
	for i, n := range c.Networks {
		at := fmt.Sprintf("networks[%d]", i)
		if names[n.Name] {
			ps.add(at+".name", n.Name, "stands twice", "give each network its own name")
		}
		names[n.Name] = true
		n.check(at, &ps)
	}
	c.checkLineages(&ps)
	return ps
}

// checkLineages refuses a network that follows itself, by whatever way around.
func (c *config) checkLineages(ps *problems) {
	before := map[string]string{}
	for _, n := range c.Networks {
		before[n.Name] = n.Follows
	}
	for i, n := range c.Networks {
		key := fmt.Sprintf("networks[%d].follows", i)
		if n.Follows == "" {
			continue
		}
		if err := checkName(n.Follows); err != nil {
			ps.add(key, n.Follows, err.Error(), "name the network whose ledger this one continues, or leave it out")
			continue
		}
		for at, steps := n.Follows, 0; at != "" && steps <= len(c.Networks); at, steps = before[at], steps+1 {
			if at == n.Name {
				ps.add(key, n.Follows, "makes the network follow itself", "name the network whose ledger this one continues")
				break
			}
		}
	}
}

func (n *networkConfig) check(at string, ps *problems) {
	if err := checkName(n.Name); err != nil {
		ps.add(at+".name", n.Name, err.Error(), "choose another")
	}
	if _, ok := eras.Codec(ledger.Era(n.Era)); !ok {
		ps.add(at+".era", n.Era, "is no era that this program knows", "use "+eraNames())
	}
	if n.Start > ledger.MaxSeq {
		ps.add(at+".start", n.Start, fmt.Sprintf("is above the largest unit number, %d", uint64(ledger.MaxSeq)), "use 0 for the oldest that a source has")
	}
	if trust, err := readTrust(n.Trust); err != nil {
		ps.addFile(at+".trust", n.Trust, err.Error(), "name a built-in one ("+strings.Join(eras.BuiltInNames(), ", ")+") or a file made by permanode trust init")
	} else if string(trust.Era) != n.Era {
		ps.add(at+".era", n.Era, fmt.Sprintf("differs from the trust file's era, %s", trust.Era), "use the same")
	}
	if len(n.Snapshot) > 2 {
		ps.add(at+".snapshot", len(n.Snapshot), "names more than a full and a delta file", "name at most two")
	}
	if len(n.Snapshot) > 0 && n.Era == string(rebased.Era) {
		ps.add(at+".snapshot", n.Snapshot[0], "is not for a network of the era "+n.Era+", which begins with its first unit", "leave it out")
	}
	for j, s := range n.Snapshot {
		if info, err := os.Stat(s); err != nil || !info.Mode().IsRegular() {
			ps.add(fmt.Sprintf("%s.snapshot[%d]", at, j), s, "is no file that can be read", "name a snapshot file, or leave it out to go by claims")
		}
	}
	if len(n.Feeds) == 0 {
		ps.add(at+".feeds", nil, "is empty: nothing would be collected", "name at least one")
	} else if !slices.ContainsFunc(n.Feeds, func(f feedConfig) bool { return !feedTypes[f.Type].bell }) {
		ps.add(at+".feeds", nil, "only ring when something is new, and none can be asked for it", "add one that can: "+strings.Join(askableTypesOf(ledger.Era(n.Era)), ", "))
	}
	names := map[string]bool{}
	for j, f := range n.Feeds {
		key := fmt.Sprintf("%s.feeds[%d]", at, j)
		if names[f.Name] {
			ps.add(key+".name", f.Name, "stands twice in this network", "give each feed its own name")
		}
		names[f.Name] = true
		f.check(key, ledger.Era(n.Era), ps)
	}
}

// checkName judges the label of a network or feed.
func checkName(name string) error {
	if !ledger.ValidName(name) {
		return errors.New("is no name: use 1 to 64 letters, digits, '.', '_' and '-', a letter or digit first")
	}
	return nil
}

// minToken is the length from which a part of a path with a digit in it may be a token.
const minToken = 12

// redact shows an address without what may be a secret: a password, a token, the values of parameters. A path on disk has none.
func redact(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil && !strings.ContainsAny(text, "/@?#"): // a host and a port, without what a secret could stand in
		return text
	case err != nil:
		return "(unreadable URL)"
	case u.Scheme == "":
		return text
	}
	if _, both := u.User.Password(); both {
		u.User = url.UserPassword(u.User.Username(), "xxxxx")
	} else if u.User != nil {
		u.User = url.User("xxxxx") // a token alone
	}
	segments := strings.Split(u.Path, "/")
	for i, s := range segments {
		if len(s) >= minToken && strings.ContainsAny(s, "0123456789") {
			segments[i] = "xxxxx"
		}
	}
	u.Path, u.RawPath = strings.Join(segments, "/"), ""
	params := u.Query()
	for name, values := range params {
		if values[0] == "" { // a name alone may be the secret
			delete(params, name)
			continue
		}
		for i := range values {
			values[i] = "xxxxx"
		}
	}
	if u.RawQuery != "" && len(params) == 0 {
		params.Set("xxxxx", "")
	}
	u.RawQuery, u.Fragment, u.RawFragment = params.Encode(), "", ""
	return u.String()
}

func eraNames() string {
	var names []string
	for _, era := range eras.All {
		names = append(names, string(era))
	}
	return strings.Join(names, ", ")
}
