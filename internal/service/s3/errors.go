package s3

import (
	"net/http"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/s3api"
)

// The errors that the service model does not hold. Codes, statuses and texts
// are from https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html.

func clientError(code string, status int, text string) *api.Error {
	return api.Errorf(code, status, api.FaultClient, "%s", text)
}

func invalidArgument(text string) *api.Error {
	return clientError("InvalidArgument", http.StatusBadRequest, text)
}

func invalidRequest(text string) *api.Error { return s3api.InvalidRequest("%s", text) }

func noSuchBucket(name string) *api.Error {
	return s3api.NoSuchBucket("The specified bucket does not exist").With("BucketName", name)
}

func noSuchKey(key string) *api.Error {
	return s3api.NoSuchKey("The specified key does not exist.").With("Key", key)
}

func noSuchUpload(id string) *api.Error {
	return s3api.NoSuchUpload("The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.").With("UploadId", id)
}

func preconditionFailed(condition string) *api.Error {
	return clientError("PreconditionFailed", http.StatusPreconditionFailed, "At least one of the pre-conditions you specified did not hold").With("Condition", condition)
}

func notModified() *api.Error {
	return clientError("NotModified", http.StatusNotModified, "Not Modified")
}

// wrongRegion is S3's answer to a signature for another region than the
// bucket's. Clients read the region from it and try again.
func wrongRegion(signed, region string) *api.Error {
	return clientError("AuthorizationHeaderMalformed", http.StatusBadRequest,
		"The authorization header is malformed; the region '"+signed+"' is wrong; expecting '"+region+"'").With("Region", region)
}

func malformedXML() *api.Error {
	return clientError("MalformedXML", http.StatusBadRequest, "The XML you provided was not well-formed or did not validate against our published schema")
}

func notServed(what string) *api.Error {
	return api.NotImplemented("A header you provided implies functionality that is not implemented: " + what)
}
