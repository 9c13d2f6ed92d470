// Evaluates a string flag of a flagd file for units on standard input, with flagd's own evaluator.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"

	"github.com/open-feature/flagd/core/pkg/evaluator"
	"github.com/open-feature/flagd/core/pkg/logger"
	"github.com/open-feature/flagd/core/pkg/store"
	"github.com/open-feature/flagd/core/pkg/sync"
	"go.uber.org/zap"
)

func main() {
	data, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	flags := evaluator.NewJSON(logger.NewLogger(zap.NewNop(), false), store.NewFlags())
	if _, _, err := flags.SetState(sync.DataSync{FlagData: string(data), Source: os.Args[1]}); err != nil {
		panic(err)
	}
	lines := bufio.NewScanner(os.Stdin)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for lines.Scan() {
		value, _, _, _, err := flags.ResolveStringValue(context.Background(), "", os.Args[2], map[string]any{"targetingKey": lines.Text()})
		if err != nil {
			panic(err)
		}
		fmt.Fprintln(out, value)
	}
}
