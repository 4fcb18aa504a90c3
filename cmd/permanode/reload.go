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
	onSignal(ctx, reloadSignals, func() {
		s.manager.reloading(func() {
			s.face.reload(s.log)
			if s.level != nil {
				s.reloadLevel()
			}
		})
	})
}

// onSignal calls do, one time after the other, when one of the signals comes, until ctx ends. No signals: never.
func onSignal(ctx context.Context, signals []os.Signal, do func()) {
	if len(signals) == 0 {
		return
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, signals...)
	defer signal.Stop(asked)
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
