"""The workers that run tasks: threads of this process (`threads`) and processes (`processes`)."""
