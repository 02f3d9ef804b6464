package session

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
)

// A message is base64 (for URLs, without padding) of
//
//	key     4 bytes naming the sealer's key
//	nonce   12 random bytes
//	sealed  the padded content, AES-256-GCM, with its tag
//
// All messages have the same length: it tells nothing of the content, which may
// be compressed although whoever is denied chooses part of it. The sealing key
// is derived from the sealer's key and the nonce as that of a token is, under
// another label: no message opens as a token, nor the other way round, and no
// key seals two, of which anybody may provoke as many as they like.
const (
	messageDerivation = "remit message 1\x00"

	messageHead = nameSize + nonceSize

	// MaxMessage bounds the content of a message, in bytes. With it, the headers
	// of an answer stay below the 4 KiB that some proxies have for all of them.
	MaxMessage = 2048 - messageHead - tagSize - 1
	// MessageLength is how many characters each message has.
	MessageLength = (2048*8 + 5) / 6
)

// ErrMessage is OpenMessage's one refusal: it does not say what is wrong.
var ErrMessage = errors.New("session: not a message of ours")

// SealMessage makes a text that tells what content holds to this sealer alone,
// and that nobody else can make. Its length tells the content's in steps. It
// fails for a content of more than [MaxMessage] bytes, and where there is no
// randomness.
func (s *Sealer) SealMessage(content []byte) (string, error) {
	if len(content) > MaxMessage {
		return "", fmt.Errorf("session: message of %d bytes", len(content))
	}
	k := s.ring.Load().keys[0]
	const size = messageHead + MaxMessage + 1
	b := make([]byte, size, size+tagSize)
	copy(b, k.name[:])
	if _, err := io.ReadFull(s.random, b[nameSize:messageHead]); err != nil {
		return "", fmt.Errorf("session: nonce: %w", err)
	}
	copy(b[messageHead:], content)
	b[messageHead+len(content)] = 1 // the content ends; zeros follow
	sealing, _ := k.derive(messageDerivation, "", b[nameSize:messageHead])
	aead, err := newAEAD(sealing)
	if err != nil {
		return "", err
	}
	sealed := aead.Seal(b[:messageHead], b[nameSize:messageHead], b[messageHead:], bytes.Clone(b[:messageHead]))
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// OpenMessage returns the content of a message that this sealer, or one with
// the same keys, has made. The error is [ErrMessage].
func (s *Sealer) OpenMessage(text string) ([]byte, error) {
	if len(text) != MessageLength || strings.ContainsAny(text, "\r\n") { // which package base64 would skip
		return nil, ErrMessage
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, ErrMessage
	}
	head, sealed := raw[:messageHead], raw[messageHead:]
	for _, k := range s.ring.Load().keys {
		if string(head[:nameSize]) != string(k.name[:]) {
			continue
		}
		sealing, _ := k.derive(messageDerivation, "", head[nameSize:])
		aead, err := newAEAD(sealing)
		if err != nil {
			return nil, ErrMessage
		}
		padded, err := aead.Open(nil, head[nameSize:], sealed, head)
		if err != nil {
			continue // names are short: another key may have the same
		}
		content := bytes.TrimRight(padded, "\x00")
		if n := len(content) - 1; n >= 0 && content[n] == 1 {
			return content[:n], nil
		}
		return nil, ErrMessage
	}
	return nil, ErrMessage
}
