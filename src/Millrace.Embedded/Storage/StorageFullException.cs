namespace Millrace.Embedded.Storage;

/// <summary>The device or the user's quota has no room left. Unlike every other failure of a device this one may pass by itself.</summary>
internal sealed class StorageFullException(string message, Exception? innerException = null) : IOException(message, innerException);
