package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

const rootHelp = `permanode archives IOTA networks. It believes no node: every unit is proven from its raw bytes
against a trust file before it is stored, and bytes are re-hashed whenever they are read.

A first look:          permanode demo
A one-off archive:     permanode trust init --from SOURCE -o trust.json
                       permanode ingest --data DIR --trust trust.json --from SOURCE
What it holds:         permanode search --data DIR invoice '"net 30"' tag:ACME
The service:           permanode config init -o permanode.yaml && permanode run --config permanode.yaml

Exit status, all commands: 0 good; 1 error; 2 wrong command line, config or input file; 3 damage found;
4 incomplete; 5 not found; 130 interrupted (run and demo end with 0).`

func (p *program) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use: "permanode", Short: "Archive IOTA networks, proven from raw bytes", Long: rootHelp,
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRun: func(*cobra.Command, []string) { p.started = true },
		RunE:             needSubcommand, Args: cobra.ArbitraryArgs,
	}
	root.CompletionOptions.DisableDefaultCmd = true // it takes any word for a shell and prints help
	root.SetOut(p.out)
	root.SetErr(p.errs)
	root.AddCommand(
		p.runCommand(), p.doctorCommand(), p.demoCommand(), p.ingestCommand(), p.trustCommand(), p.statusCommand(), p.coverageCommand(),
		p.searchCommand(), p.getCommand(), p.payloadCommand(), p.exportCommand(), p.checkCommand(), p.copyCommand(), p.indexCommand(), p.keyCommand(), p.configCommand(), p.completionCommand(), p.versionCommand(),
	)
	root.SetHelpCommand(helpCommand(root))
	return root
}

// group makes a command that only holds others.
func group(use, short, long string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Long: long, RunE: needSubcommand, Args: cobra.ArbitraryArgs}
	c.AddCommand(subs...)
	return c
}

// needSubcommand refuses a missing or unknown command. Left to cobra, a misspelt subcommand would print help and exit 0.
func needSubcommand(c *cobra.Command, args []string) error {
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	hint := fmt.Sprintf("%s takes one of: %s", c.CommandPath(), strings.Join(names, ", "))
	if len(args) == 0 {
		return usagef(hint, "%s: no command given", c.CommandPath())
	}
	c.SuggestionsMinimumDistance = 2
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf("did you mean %s %s?", c.CommandPath(), near[0])
	}
	return usagef(hint, "%s: unknown command %q", c.CommandPath(), args[0])
}

// noArgs refuses arguments in words that say what the command takes.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("permanode help "+strings.TrimPrefix(c.CommandPath(), "permanode "), "%s takes flags only, not %q", c.CommandPath(), args[0])
	}
	return nil
}

// oneArg wants exactly one argument, called what.
func oneArg(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usagef("write: "+c.CommandPath()+" "+what, "%s takes one argument, %s, not %d", c.CommandPath(), what, len(args))
		}
		return nil
	}
}

func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Help about any command",
		RunE: func(_ *cobra.Command, args []string) error {
			c, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usagef("permanode help lists the commands", "help: unknown command %q", strings.Join(args, " "))
			}
			return c.Help()
		},
	}
}

func (p *program) versionCommand() *cobra.Command {
	asJSON := false
	c := &cobra.Command{
		Use: "version", Short: "Print the version", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return p.printJSON(struct {
					Name    string `json:"name"`
					Version string `json:"version"`
				}{"permanode", version})
			}
			return p.printf("permanode %s\n", version)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON object")
	return c
}
