package fakeupstream_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"credproxy/fakeupstream"
)

// BenchmarkStart is from Start to ready, in this process.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		up, err := fakeupstream.Start(context.Background(), fakeupstream.Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		up.Close()
		b.StartTimer()
	}
}

// BenchmarkProgramStart is from starting the program to its ready line.
func BenchmarkProgramStart(b *testing.B) {
	program := build(b)
	for b.Loop() {
		cmd := exec.Command(program)
		stdin, _ := cmd.StdinPipe()
		stdout, _ := cmd.StdoutPipe()
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		if _, err := bufio.NewReader(stdout).ReadBytes('\n'); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func build(tb testing.TB) string {
	tb.Helper()
	program := filepath.Join(tb.TempDir(), "fakeupstream.exe")
	if out, err := exec.Command("go", "build", "-o", program, "credproxy/cmd/fakeupstream").CombinedOutput(); err != nil {
		tb.Fatalf("%v\n%s", err, out)
	}
	return program
}

// BenchmarkRequests is recorded requests over TLS, from clients in this process.
func BenchmarkRequests(b *testing.B) {
	up := startQuiet(b)
	client := up.Client()
	client.Transport.(*http.Transport).MaxIdleConnsPerHost = 16
	b.SetParallelism(4)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			resp, err := client.Get(up.URL + "/echo")
			if err != nil {
				b.Error(err)
				return
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

// BenchmarkStreams opens 2,000 streams at once and sends each an event.
func BenchmarkStreams(b *testing.B) {
	const n = 2000
	for b.Loop() {
		up := startQuiet(b)
		ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
		var opened, got sync.WaitGroup
		opened.Add(n)
		got.Add(n)
		began := time.Now()
		for range n {
			go func() {
				defer got.Done()
				resp, err := up.Client().Get(up.URL + "/sse")
				opened.Done()
				if err != nil {
					b.Error(err)
					return
				}
				defer resp.Body.Close()
				if line, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil || line != "data: to all\n" {
					b.Errorf("%q, %v", line, err)
				}
			}()
		}
		opened.Wait()
		b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms-to-open-2000")
		if _, open := up.Connections(); open != n {
			b.Fatalf("%d connections are open", open)
		}
		began = time.Now()
		if err := up.Emit(ctx, "", "to all"); err != nil {
			b.Fatal(err)
		}
		got.Wait()
		b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms-for-an-event-to-all")
		cancel()
		up.Close()
	}
}

func startQuiet(b *testing.B) *fakeupstream.Server {
	b.Helper()
	up, err := fakeupstream.Start(context.Background(), fakeupstream.Options{})
	if err != nil {
		b.Fatal(fmt.Errorf("start: %w", err))
	}
	b.Cleanup(up.Close)
	return up
}
