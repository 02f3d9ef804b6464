package secretsmanager

import (
	"crypto/rand"
	"math/big"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	sm "github.com/remit-ecs/remit/internal/api/secretsmanagerapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

func (s *Service) mayGetRandomPassword(*gateway.Call, *sm.GetRandomPasswordInput) ([]authz.Ask, error) {
	return []authz.Ask{{Action: "secretsmanager:GetRandomPassword", Resource: "*"}}, nil
}

// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetRandomPassword.html
func (s *Service) getRandomPassword(_ *gateway.Call, in *sm.GetRandomPasswordInput) (*sm.GetRandomPasswordOutput, error) {
	length := 32
	if in.PasswordLength != nil {
		length = int(*in.PasswordLength)
	}
	var classes []string
	add := func(excluded *bool, letters string) {
		if api.Value(excluded) {
			return
		}
		letters = strings.Map(func(r rune) rune {
			if strings.ContainsRune(api.Value(in.ExcludeCharacters), r) {
				return -1
			}
			return r
		}, letters)
		if letters != "" {
			classes = append(classes, letters)
		}
	}
	add(in.ExcludeLowercase, "abcdefghijklmnopqrstuvwxyz")
	add(in.ExcludeUppercase, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
	add(in.ExcludeNumbers, "0123456789")
	add(in.ExcludePunctuation, "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
	add(api.Ptr(!api.Value(in.IncludeSpace)), " ")
	each := in.RequireEachIncludedType == nil || *in.RequireEachIncludedType
	switch {
	case len(classes) == 0:
		return nil, sm.InvalidParameterException("No characters are left to make a password of.")
	case each && length < len(classes):
		return nil, sm.InvalidParameterException("The password length %d is too short to hold a character of each included type.", length)
	}
	all := strings.Join(classes, "")
	out := make([]byte, length)
	for i := range out {
		from := all
		if each && i < len(classes) {
			from = classes[i]
		}
		out[i] = from[below(len(from))]
	}
	for i := length - 1; i > 0; i-- { // what was required must not stand in front
		j := below(i + 1)
		out[i], out[j] = out[j], out[i]
	}
	return &sm.GetRandomPasswordOutput{RandomPassword: api.Ptr(string(out))}, nil
}

func below(n int) int {
	x, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		panic(err) // crypto/rand does not fail on supported systems
	}
	return int(x.Int64())
}
