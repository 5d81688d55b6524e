# What others use of this room; `__init__.py` makes the lazy names from it.

from .audio import AUDIO_EXTENSIONS as AUDIO_EXTENSIONS
from .crops import CropHandler as CropHandler
from .crops import RandomCrop as RandomCrop
from .encoders import encode_based_on_extension as encode_based_on_extension
from .encoders import encode_based_on_extension1 as encode_based_on_extension1
from .encoders import make_encoder as make_encoder
from .encoders import make_handlers as make_handlers
from .high_bit_depth import as_uint16 as as_uint16
from .image_specs import IMAGE_SPECS as IMAGE_SPECS
from .images import IMAGE_EXTENSIONS as IMAGE_EXTENSIONS
from .jpeg import first_rows as first_rows
from .jpeg import read_jpeg as read_jpeg
from .pixels import read_image as read_image
from .video import VIDEO_EXTENSIONS as VIDEO_EXTENSIONS
from .video_types import Sampling as Sampling
from .video_types import require_room as require_room
