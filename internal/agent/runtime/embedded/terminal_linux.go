//go:build cgo

package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/opencontainers/runc/libcontainer"
	"golang.org/x/sys/unix"

	"github.com/remit-ecs/remit/internal/agent/runtime"
)

// execTerminal runs p on a pseudo terminal. The pair is made inside the
// container, in its own devpts, and our end sent back over a socket.
func (c *containerBox) execTerminal(ctx context.Context, p *libcontainer.Process, spec runtime.ExecSpec) (int, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("terminal: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "terminal"), os.NewFile(uintptr(fds[1]), "terminal")
	defer ours.Close()
	p.ConsoleSocket = theirs
	p.ConsoleHeight, p.ConsoleWidth = spec.Terminal.Size.Rows, spec.Terminal.Size.Columns
	err = c.box.Run(p)
	theirs.Close()
	if err != nil {
		return execFailure(err)
	}
	master, err := receiveFile(fds[0])
	if err != nil {
		p.Signal(unix.SIGKILL)
		p.Wait()
		return 0, fmt.Errorf("terminal: %w", err)
	}
	ended := make(chan struct{})
	if spec.Stdin != nil {
		// Not waited for: it ends with the terminal or with the reader.
		go io.Copy(master, spec.Stdin)
	}
	go resize(master, spec.Terminal.Resize, ended)
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		if spec.Stdout != nil {
			io.Copy(spec.Stdout, master)
		}
		// Until the terminal hangs up, so that the command never blocks.
		io.Copy(io.Discard, master)
	}()
	return finishExec(ctx, p, func() {
		close(ended)
		select {
		case <-shown:
		case <-time.After(time.Second):
			// Something the command left behind holds the terminal.
		}
		// Ends the copying, too: the file is in the poller.
		master.Close()
		<-shown
	})
}

func resize(master *os.File, sizes <-chan runtime.TerminalSize, ended <-chan struct{}) {
	for {
		select {
		case <-ended:
			return
		case s, ok := <-sizes:
			if !ok {
				return
			}
			raw, err := master.SyscallConn()
			if err != nil {
				return
			}
			raw.Control(func(fd uintptr) {
				unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: s.Rows, Col: s.Columns})
			})
		}
	}
}

// receiveFile takes one file from a socket, without waiting: the sender has
// sent it before it executed its command.
func receiveFile(socket int) (*os.File, error) {
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(socket, make([]byte, 4096), oob, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil || len(fds) == 0 {
			continue
		}
		// Non-blocking before it becomes a file, for reads that Close ends.
		if err := unix.SetNonblock(fds[0], true); err != nil {
			unix.Close(fds[0])
			return nil, err
		}
		return os.NewFile(uintptr(fds[0]), "terminal"), nil
	}
	return nil, errors.New("no file was sent")
}
