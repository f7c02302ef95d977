from multiprocessing import *
from multiprocessing import __all__ as __all__
from multiprocessing import context as context
from multiprocessing import process as process
from multiprocessing import reduction as reducer

__version__: str

def __dir__() -> list[str]: ...
