package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"permanode"
	"permanode/internal/durable"
)

func (p *program) configCommand() *cobra.Command {
	return group("config", "Write, check and show the config of the service", "",
		p.configInitCommand(), p.configValidateCommand(), p.configShowCommand())
}

func (p *program) configInitCommand() *cobra.Command {
	out, force := "", false
	c := &cobra.Command{
		Use: "init [-o FILE]", Short: "Write a config with every key, its default and what it means", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if out == "" {
				return p.printf("%s", permanode.ExampleConfig)
			}
			return p.writeNew(out, permanode.ExampleConfig, force)
		},
	}
	c.Flags().StringVarP(&out, "out", "o", "", "file to write (default: standard output)")
	c.Flags().BoolVar(&force, "force", false, "replace the file if it is there")
	return c
}

// writeNew writes a small file durably and replaces one only if told to.
func (p *program) writeNew(name string, data []byte, force bool) error {
	if _, err := os.Lstat(name); err == nil && !force {
		return usagef("choose another name with -o, or replace it with --force", "%s is there already", name)
	}
	if info, err := os.Stat(filepath.Dir(name)); err != nil || !info.IsDir() {
		return usagef("name a file in a directory that is there", "write %s: %s is no directory", name, filepath.Dir(name))
	}
	if err := durable.WriteFile(name, data, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	p.say("wrote %s", name)
	return nil
}

func (p *program) configValidateCommand() *cobra.Command {
	file := ""
	c := &cobra.Command{
		Use: "validate --config FILE", Short: "Report everything that is wrong with a config",
		Long: "Reads the config, the environment and the trust files, and reports all problems at once.\nExit status: 0 good; 2 something is wrong.",
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := p.loadConfig(file)
			if err != nil {
				return err
			}
			return p.printf("%s: good, %d network(s)\n", file, len(c.Networks))
		},
	}
	configFlag(c, &file)
	return c
}

func configFlag(c *cobra.Command, file *string) {
	c.Flags().StringVar(file, "config", "", "config file (YAML)")
}

// loadConfig reads and judges a config.
func (p *program) loadConfig(file string) (*config, error) {
	if file == "" {
		return nil, usagef("permanode config init -o FILE writes one", "--config is missing")
	}
	c, err := readConfig(file)
	if err != nil {
		return nil, err
	}
	p.warnEnvironment()
	return c, c.check(file)
}

// warnEnvironment names variables that look like ours and set nothing: a misspelt one would be passed over in silence.
func (p *program) warnEnvironment() {
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, envPrefix+"_") {
			continue
		}
		known := name == envKeyFile
		var names []string
		for _, s := range scalars {
			known = known || name == envName(s.key)
			names = append(names, envName(s.key))
		}
		if !known {
			p.say("warning: the environment variable %s sets nothing; known: %s (lists are set in the file)", name, strings.Join(append(names, envKeyFile), ", "))
		}
	}
}

// setting is one value in force and where it comes from.
type setting struct {
	Key    string `json:"key"`
	Value  any    `json:"value"`
	Origin string `json:"origin"`
}

func (p *program) configShowCommand() *cobra.Command {
	file, asJSON := "", false
	c := &cobra.Command{
		Use: "show --config FILE", Short: "Show every value in force and where it comes from; passwords are hidden", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := p.loadConfig(file)
			if err != nil {
				return err
			}
			for _, s := range c.settings() {
				if asJSON {
					err = p.printJSON(s)
				} else {
					err = p.printf("%-32s %-40s (%s)\n", s.Key, fmt.Sprint(s.Value), s.Origin)
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
	configFlag(c, &file)
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	return c
}

func (c *config) settings() []setting {
	all := []setting{
		{"data_dir", c.DataDir, c.origin["data_dir"]},
		{"memory", sizeText(uint64(c.Memory)), c.origin["memory"]},
		{"index.text", c.Index.Text, c.origin["index.text"]},
		{"api.listen", c.API.Listen, c.origin["api.listen"]},
		{"api.keys_file", c.API.KeysFile, c.origin["api.keys_file"]},
		{"api.tls_cert", c.API.TLSCert, c.origin["api.tls_cert"]},
		{"api.tls_key", c.API.TLSKey, c.origin["api.tls_key"]},
		{"api.rate", c.API.Rate, c.origin["api.rate"]},
		{"api.search_rate", c.API.SearchRate, c.origin["api.search_rate"]},
		{"metrics.listen", c.Metrics.Listen, c.origin["metrics.listen"]},
		{"log_level", c.LogLevel, c.origin["log_level"]},
	}
	add := func(key string, value any) { all = append(all, setting{key, value, "file"}) }
	addOr := func(key string, value any) { all = append(all, setting{key, value, c.origin[key]}) }
	addOr("api.cors", append([]string{}, c.API.CORS...))
	for i, n := range c.Networks {
		at := fmt.Sprintf("networks[%d].", i)
		add(at+"name", n.Name)
		add(at+"era", n.Era)
		add(at+"trust", n.Trust)
		addOr(at+"snapshot", append([]string{}, n.Snapshot...))
		addOr(at+"follows", n.Follows)
		addOr(at+"start", n.Start)
		for j, f := range n.Feeds {
			at := fmt.Sprintf("%sfeeds[%d].", at, j)
			add(at+"name", f.Name)
			add(at+"type", f.Type)
			add(at+"url", redact(f.URL))
		}
	}
	return all
}
