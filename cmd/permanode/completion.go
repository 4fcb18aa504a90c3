package main

import (
	"strings"

	"github.com/spf13/cobra"
)

const completionHelp = `Prints a script that lets the shell complete commands and flags. For this session:

  bash:  source <(permanode completion bash)
  zsh:   source <(permanode completion zsh)
  fish:  permanode completion fish | source

For every session write it to a file that the shell reads when it starts, such as
/etc/bash_completion.d/permanode.`

var shells = []string{"bash", "zsh", "fish", "powershell"}

func (p *program) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "completion SHELL", Short: "Print what a shell needs to complete commands and flags", Long: completionHelp,
		Args: oneArg("SHELL"), ValidArgs: shells,
		RunE: func(c *cobra.Command, args []string) error {
			root := c.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(p.out, true)
			case "zsh":
				return root.GenZshCompletion(p.out)
			case "fish":
				return root.GenFishCompletion(p.out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(p.out)
			}
			return usagef("there are "+strings.Join(shells, ", "), "completion: %q is no shell that is known", args[0])
		},
	}
}
