package kms

import (
	"strconv"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/kmsapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

const (
	usualPeriod = 365 // days between automatic rotations
	// mostOnDemand bounds the rotations on demand of one key.
	// https://docs.aws.amazon.com/kms/latest/developerguide/resource-limits.html
	mostOnDemand = 25
)

// rotates says that a rotation is due. A key that cannot be used is not
// rotated: it is as soon as it can.
// https://docs.aws.amazon.com/kms/latest/developerguide/rotate-keys.html
func (d *Key) rotates(now time.Time) bool {
	return d.NextRotation != nil && !now.Before(*d.NextRotation) && d.state() == kmsapi.KeyStateEnabled
}

// plan sets the day of the next automatic rotation.
func (d *Key) plan(now time.Time) {
	next := now.UTC().Add(time.Duration(d.Period) * day)
	d.NextRotation = &next
}

func (s *Service) mayEnableKeyRotation(c *gateway.Call, in *kmsapi.EnableKeyRotationInput) ([]authz.Ask, error) {
	return s.aboutWith(c, in.KeyId, called(c).number("kms:rotationperiodindays", in.RotationPeriodInDays))
}

// https://docs.aws.amazon.com/kms/latest/APIReference/API_EnableKeyRotation.html
func (s *Service) enableKeyRotation(c *gateway.Call, in *kmsapi.EnableKeyRotationInput) (*kmsapi.EnableKeyRotationOutput, error) {
	err := s.change(c, in.KeyId, func(d *Key) error {
		if err := d.enabled(); err != nil {
			return err
		}
		period := d.Period
		if period == 0 {
			period = usualPeriod
		}
		if in.RotationPeriodInDays != nil {
			period = *in.RotationPeriodInDays
		}
		if period != d.Period {
			d.Period = period
			d.plan(c.Time)
		}
		return nil
	})
	return &kmsapi.EnableKeyRotationOutput{}, err
}

func (s *Service) mayDisableKeyRotation(c *gateway.Call, in *kmsapi.DisableKeyRotationInput) ([]authz.Ask, error) {
	return s.about(c, in.KeyId)
}

// https://docs.aws.amazon.com/kms/latest/APIReference/API_DisableKeyRotation.html
func (s *Service) disableKeyRotation(c *gateway.Call, in *kmsapi.DisableKeyRotationInput) (*kmsapi.DisableKeyRotationOutput, error) {
	err := s.change(c, in.KeyId, func(d *Key) error {
		d.Period, d.NextRotation = 0, nil
		return d.enabled()
	})
	return &kmsapi.DisableKeyRotationOutput{}, err
}

func (s *Service) mayGetKeyRotationStatus(c *gateway.Call, in *kmsapi.GetKeyRotationStatusInput) ([]authz.Ask, error) {
	return s.about(c, in.KeyId)
}

// https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyRotationStatus.html
func (s *Service) getKeyRotationStatus(c *gateway.Call, in *kmsapi.GetKeyRotationStatusInput) (*kmsapi.GetKeyRotationStatusOutput, error) {
	d, err := s.look(c, in.KeyId)
	if err != nil {
		return nil, err
	}
	on := d.Period > 0 && d.Deletion == nil // the rotation of a key that waits to be deleted is off
	out := &kmsapi.GetKeyRotationStatusOutput{KeyId: &d.ARN, KeyRotationEnabled: &on}
	if on {
		out.RotationPeriodInDays, out.NextRotationDate = &d.Period, api.At(*d.NextRotation)
	}
	return out, nil
}

func (s *Service) mayListKeyRotations(c *gateway.Call, in *kmsapi.ListKeyRotationsInput) ([]authz.Ask, error) {
	return s.about(c, in.KeyId)
}

// listKeyRotations lists completed rotations and, if asked to, the first
// material too.
// https://docs.aws.amazon.com/kms/latest/APIReference/API_ListKeyRotations.html
func (s *Service) listKeyRotations(c *gateway.Call, in *kmsapi.ListKeyRotationsInput) (*kmsapi.ListKeyRotationsOutput, error) {
	d, err := s.look(c, in.KeyId)
	if err != nil {
		return nil, err
	}
	p, err := page(c, in.Limit, in.Marker, 100, 1000)
	if err != nil {
		return nil, err
	}
	from, _ := strconv.Atoi(p.after)
	if from == 0 && in.IncludeKeyMaterial != kmsapi.IncludeKeyMaterialAllKeyMaterial {
		from = 1 // the first material came from no rotation
	}
	out := &kmsapi.ListKeyRotationsOutput{Rotations: []kmsapi.RotationsListEntry{}}
	for i := from; i < len(d.Material); i++ {
		if p.full(strconv.Itoa(i + 1)) {
			break
		}
		m := &d.Material[i]
		e := kmsapi.RotationsListEntry{KeyId: &d.ARN, KeyMaterialId: &m.ID, RotationType: m.Rotation}
		if in.IncludeKeyMaterial == kmsapi.IncludeKeyMaterialAllKeyMaterial {
			e.KeyMaterialState = kmsapi.KeyMaterialStateNonCurrent
			if i == len(d.Material)-1 {
				e.KeyMaterialState = kmsapi.KeyMaterialStateCurrent
			}
		}
		if i > 0 {
			e.RotationDate = api.At(m.Created)
		}
		out.Rotations = append(out.Rotations, e)
	}
	out.NextMarker, out.Truncated = p.end(c)
	return out, nil
}

func (s *Service) mayRotateKeyOnDemand(c *gateway.Call, in *kmsapi.RotateKeyOnDemandInput) ([]authz.Ask, error) {
	return s.about(c, in.KeyId)
}

// https://docs.aws.amazon.com/kms/latest/APIReference/API_RotateKeyOnDemand.html
func (s *Service) rotateKeyOnDemand(c *gateway.Call, in *kmsapi.RotateKeyOnDemandInput) (*kmsapi.RotateKeyOnDemandOutput, error) {
	out := &kmsapi.RotateKeyOnDemandOutput{}
	err := s.change(c, in.KeyId, func(d *Key) error {
		if err := d.enabled(); err != nil {
			return err
		}
		n := 0
		for _, m := range d.Material {
			if m.Rotation == kmsapi.RotationTypeOnDemand {
				n++
			}
		}
		if n >= mostOnDemand {
			return kmsapi.LimitExceededException("The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be performed for this key: %s", d.ID)
		}
		s.addMaterial(d, c.Time, kmsapi.RotationTypeOnDemand)
		out.KeyId = &d.ID
		return nil
	})
	return out, err
}
