package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
)

// reloadOnSignal reads the keys, the certificate and the log level again, each time the operator sends the service the
// signal for it (SIGHUP, where there is one). What is not good stays as it was, and the log says so. It ends with ctx.
func (s *service) reloadOnSignal(ctx context.Context) {
	onSignal(ctx, s.told.reload, func() {
		s.manager.reloading(func() {
			s.face.reload(s.log)
			if s.level != nil {
				s.reloadLevel()
			}
		})
	})
}

// told are the signals by which an operator tells a service what to do. None: never.
type told struct{ reload, rebuild chan os.Signal }

// takeSignals takes them until the process ends: one that comes while the service starts is heeded once it runs, and one
// that comes while it stops does nothing. Left to the system, each would kill it there.
func takeSignals() told {
	return told{reload: taken(reloadSignals), rebuild: taken(rebuildSignals)}
}

func taken(signals []os.Signal) chan os.Signal {
	asked := make(chan os.Signal, 1)
	if len(signals) > 0 { // none would be all
		signal.Notify(asked, signals...)
	}
	return asked
}

// onSignal calls do, one time after the other, when a signal comes, until ctx ends.
func onSignal(ctx context.Context, asked <-chan os.Signal, do func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-asked:
			do()
		}
	}
}

// reloadLevel takes the log level from the config as it is now, and nothing else.
func (s *service) reloadLevel() {
	conf, err := readConfig(s.config)
	if err != nil {
		s.log.Error("the log level stays as it was: the config is not good", "err", err)
		return
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(conf.LogLevel)); err != nil {
		s.log.Error("the log level stays as it was", "err", err)
		return
	}
	s.level.Set(level)
	s.log.Info("config read again for its log level; other keys need a restart", "log_level", level)
}
