"""What any gradient strategy takes by one key more: each an addition, in a file of its own."""
