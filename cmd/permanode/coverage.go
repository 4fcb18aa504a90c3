package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"permanode/query"
)

func (p *program) coverageCommand() *cobra.Command {
	var d dataFlags
	c := &cobra.Command{
		Use: "coverage", Short: "Show which units the archive holds, and what is missing", Args: noArgs,
		Long: `Prints for each network the ranges of complete, proven units, the gaps with their reasons, and how many
records and bytes are held. --json: network, era, ranges[{from,to}], gaps[{from,to,reason}], records, bytes.`,
		RunE: func(c *cobra.Command, _ []string) error {
			remote, err := p.remote(&d)
			if err != nil {
				return err
			}
			if remote != nil {
				defer remote.Close()
				return p.coverageFrom(c.Context(), remote, &d)
			}
			return p.read(c, &d, func(a *query.Archive, networks []query.Network) error {
				for _, n := range networks {
					cov, err := a.Coverage(c.Context(), n)
					if err != nil {
						return err
					}
					if err := p.printCoverage(cov, d.json); err != nil {
						return err
					}
				}
				return p.sayEmpty(len(networks))
			})
		},
	}
	d.add(c, true)
	d.addServer(c)
	c.AddCommand(p.coverageDecideCommand())
	return c
}

func (p *program) printCoverage(cov query.Coverage, asJSON bool) error {
	if asJSON {
		return p.printJSON(cov)
	}
	text := fmt.Sprintf("%s (%s): %d records, %s\n", plain(cov.Network), plain(cov.Era), cov.Records, sizeText(cov.Bytes))
	for _, r := range cov.Ranges {
		text += fmt.Sprintf("  units %d to %d\n", r.From, r.To)
	}
	if len(cov.Ranges) == 0 {
		text += "  no unit yet\n"
	}
	for _, g := range cov.Gaps {
		text += fmt.Sprintf("  gap   %d to %d: %s\n", g.From, g.To, plain(g.Reason))
	}
	return p.printf("%s", text)
}
