"""The kinds of error of section 12."""

ENCODING = "EncodingError"
RECORD = "RecordError"
KEY = "KeyFormatError"
OPEN = "OpenError"
COMMITMENTS = "commitments"
DISCLOSURE = "DisclosureError"
MERKLE = "MerkleError"
OTHER_ROOT = "another root"
PACKING = "PackingError"
REQUEST = "RequestError"
SIGNATURE = "SignatureError"
RECEIPT = "ReceiptFormatError"
BUNDLE = "BundleError"
TRUST = "TrustError"


class Refused(Exception):
    """Something is not as the format has it: `kind` is a kind of section 12, `param` the part at fault where one is named."""

    def __init__(self, kind: str, text: str, param: str | None = None) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind
        self.text = text
        self.param = param
