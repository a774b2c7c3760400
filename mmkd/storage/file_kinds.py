"""What a file is that was given as a checkpoint but is none, and what to do about it."""

import zipfile
from typing import BinaryIO

# How a file starts, what it is then, and what to do.
STARTS = [
    (b'version https://git-lfs', 'a Git LFS pointer, not the file itself; run `git lfs pull`'),
    (b'\x89HDF', 'an HDF5 file (Keras); convert it to PyTorch first'),
    (b'\x93NUMPY', 'a NumPy array; save a state dict with `torch.save`'),
    (b'\x1f\x8b', 'a gzip archive; unpack it first'),
    (b'BZh', 'a bzip2 archive; unpack it first'),
    (b'\xfd7zXZ', 'an xz archive; unpack it first'),
    (b'7z\xbc\xaf', 'a 7-Zip archive; unpack it first'),
    (b'Rar!', 'a RAR archive; unpack it first'),
    (b'\x28\xb5\x2f\xfd', 'a Zstandard archive; unpack it first'),
    (b'GGUF', 'a GGUF file; convert it to PyTorch first'),
    (b'\x89PNG', 'a picture'),
    (b'\xff\xd8\xff', 'a picture'),
    (b'%PDF', 'a PDF document'),
    (b'\x7fELF', 'a program, not a checkpoint'),
]
# Before 1.6, PyTorch wrote a pickle that starts with this number.
OLD_FORMAT = b'\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.'
ARCHIVE = b'PK\x03\x04'
SAFETENSORS = (
    "a safetensors file; convert it: `torch.save(safetensors.torch.load_file(PATH), 'weights.pth')`"
)


def describe(file: BinaryIO) -> str | None:
    """Return what ``file`` is and the remedy. Return None if it may be a checkpoint."""
    file.seek(0)
    start = file.read(512)
    file.seek(0)
    if not start:
        return 'an empty file; copy or download it again'
    if not start.strip(b'\0'):
        return 'a file of zeros, which a full disk or a power cut leaves; copy it again'
    for prefix, kind in STARTS:
        if start.startswith(prefix):
            return kind
    if start[8:9] == b'{' and int.from_bytes(start[:8], 'little') < 1 << 32:
        return SAFETENSORS
    if start[257:262] == b'ustar':
        return 'a tar archive; unpack it first'
    if start[:1] == b'\x08' and start[2:3] in b'\x12\x1a\x22\x3a':
        return 'an ONNX model; give the PyTorch checkpoint that it was exported from'
    if start.startswith(ARCHIVE):
        return _describe_zip(file)
    if ARCHIVE.startswith(start) or start.startswith(OLD_FORMAT) or OLD_FORMAT.startswith(start):
        return None
    if start.startswith(b'\x80'):
        return 'a pickle that `torch.save` did not write; save a state dict with `torch.save`'
    return _describe_text(start)


def _describe_zip(file: BinaryIO) -> str | None:
    try:
        names = zipfile.ZipFile(file).namelist()
    except Exception:  # damaged: the check of its sums says how
        return None
    finally:
        file.seek(0)
    if any(name.endswith('/constants.pkl') for name in names):
        return (
            'a TorchScript model; save its weights: '
            "`torch.save(torch.jit.load(PATH).state_dict(), 'weights.pth')`"
        )
    if names and all(name.endswith('.npy') for name in names):
        return 'a NumPy archive; save a state dict with `torch.save`'
    if not any(name.endswith('data.pkl') for name in names):
        return f'a zip archive of {names[:3]}, not of PyTorch; unpack it first'
    return None


def _describe_text(start: bytes) -> str | None:
    try:
        text = start.decode().lstrip('\ufeff \t\r\n').lower()
    except UnicodeDecodeError:
        return None
    if any(ord(letter) < 9 for letter in text):  # a pickle has such bytes, a text has none
        return None
    if text.startswith(('<!doctype html', '<html')):
        return 'a web page; download the file itself, not the page about it'
    if text.startswith('<'):
        return 'an XML file, such as the error message of a server; download it again'
    if text.startswith(('{', '[')):
        return 'a JSON file; give the checkpoint (.pth)'
    return 'a text file; give the checkpoint (.pth)'
