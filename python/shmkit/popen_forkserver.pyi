from multiprocessing.popen_forkserver import *
